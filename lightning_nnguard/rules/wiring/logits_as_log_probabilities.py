"""NNG209."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import loss_call, made_by

_FUNCTIONS = frozenset({"nll_loss", "kl_div"})


@dataclass(frozen=True, kw_only=True)
class LogitsAsLogProbabilities(Rule[LossCallSeen]):
    """Logits or probabilities where a loss wants log-probabilities: `nll_loss` or `kl_div` without `log_softmax`.

    What it checks:
        The input of each call of `nll_loss` and `kl_div` in the audited batches. The logarithm of a probability is never positive.

    Why it matters:
        The loss has no lower bound: it falls without end while the raw outputs grow, whatever is predicted, and its value means
        nothing. With probabilities the gradient is that of the accuracy, without the logarithm's push on confident mistakes.

    How to fix:
        Apply `F.log_softmax(x, dim=1)` first, or use `F.cross_entropy`, which does both. `F.kl_div` wants log-probabilities as its
        first argument, and probabilities as its second unless `log_target=True`.

    When it is harmless:
        When `nll_loss` is only used to pick one value a row, such as the value of the chosen action.

    References:
        PyTorch documentation, `torch.nn.NLLLoss` and `torch.nn.KLDivLoss`.
    """

    code: ClassVar[str] = "NNG209"
    name: ClassVar[str] = "logits-as-log-probabilities"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the loss has no lower bound: it falls while the raw outputs grow, whatever is predicted"
    fix: ClassVar[str] = "apply `F.log_softmax(x, dim=1)` before the loss, or use `F.cross_entropy` on the logits"

    max_log_probability: float = threshold(0.01, "largest input that rounding, or a small number inside of the logarithm, explains")

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
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
