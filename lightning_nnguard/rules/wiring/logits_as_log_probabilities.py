"""NNG209."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import loss_call, made_by

_FUNCTIONS = frozenset({"nll_loss", "kl_div"})
#: What makes rates.
_RATES = frozenset({"softplus", "relu", "exp"})


@dataclass(frozen=True, kw_only=True)
class LogitsAsLogProbabilities(Rule[LossCallSeen]):
    """Logits or probabilities where a loss wants log-probabilities: `nll_loss` or `kl_div` without `log_softmax`.

    And rates where a loss wants their logarithms, or the other way round: `poisson_nll_loss` with the wrong `log_input`.

    What it checks:
        The input of each call of `nll_loss` and `kl_div` in the audited batches. The logarithm of a probability is never positive.
        The input of each call of `poisson_nll_loss`: with `log_input=True`, the default, it is no output of `softplus`, `relu` or
        `exp`; with `log_input=False` it holds no negative numbers.

    Why it matters:
        The loss has no lower bound: it falls without end while the raw outputs grow, whatever is predicted, and its value means
        nothing. With probabilities the gradient is that of the accuracy, without the logarithm's push on confident mistakes.
        With `log_input=True`, what `softplus` returns is the logarithm of a rate that is never below 1, so that small counts cannot
        be predicted. With `log_input=False`, the logarithm of a negative number makes the loss NaN.

    How to fix:
        Apply `F.log_softmax(x, dim=1)` first, or use `F.cross_entropy`, which does both. `F.kl_div` wants log-probabilities as its
        first argument, and probabilities as its second unless `log_target=True`. Give `F.poisson_nll_loss` what the last
        linear layer returns, or else rates, `F.poisson_nll_loss(F.softplus(x), y, log_input=False)`.

    When it is harmless:
        When `nll_loss` is only used to pick one value a row, such as the value of the chosen action.

    References:
        PyTorch documentation, `torch.nn.NLLLoss`, `torch.nn.KLDivLoss` and `torch.nn.PoissonNLLLoss`.
    """

    code: ClassVar[str] = "NNG209"
    name: ClassVar[str] = "logits-as-log-probabilities"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the loss is another one: without a lower bound, or NaN, or one that small counts cannot be predicted by"
    fix: ClassVar[str] = (
        "apply `F.log_softmax(x, dim=1)` before the loss, or use `F.cross_entropy` on the logits; "
        "for counts, F.poisson_nll_loss(F.softplus(x), y, log_input=False) or F.poisson_nll_loss(x, y)"
    )

    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG232"})

    max_log_probability: float = threshold(0.01, "largest input that rounding, or a small number inside of the logarithm, explains")

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
        if seen.takes_logarithms is not None:
            return self._over_counts(seen)
        if seen.function not in _FUNCTIONS or seen.input_max <= self.max_log_probability:
            return None
        return self.finding(
            seen,
            f"{loss_call(seen)} got values up to {seen.input_max:.3g}, which are no logarithms of probabilities "
            f"(threshold {self.max_log_probability:g}, {seen.num_values} values){made_by(seen)}",
            evidence={
                "function": seen.function, "input_function": seen.input_function, "input_min": seen.input_min,
                "input_max": seen.input_max, "max_log_probability": self.max_log_probability, "num_values": seen.num_values,
            },
        )  # fmt: skip

    def _over_counts(self, seen: LossCallSeen) -> Finding | None:
        """Judge a call of `poisson_nll_loss`."""
        if seen.takes_logarithms and seen.input_function in _RATES and seen.input_min >= 0:
            what = "takes logarithms of rates (log_input=True), and got rates (threshold 0)"
        elif not seen.takes_logarithms and seen.input_min < 0 and seen.value is None:
            what = "is NaN: it takes rates (log_input=False), and got negative numbers (threshold 0)"
        else:
            return None
        values = f"{seen.num_values} values from {seen.input_min:.3g} to {seen.input_max:.3g}{made_by(seen)}"
        return self.finding(
            seen,
            f"{loss_call(seen)} {what}: {values}",
            evidence={
                "function": seen.function, "input_function": seen.input_function, "input_min": seen.input_min,
                "input_max": seen.input_max, "num_values": seen.num_values,
            },
        )  # fmt: skip
