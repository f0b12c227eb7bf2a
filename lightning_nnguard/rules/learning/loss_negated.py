"""NNG706."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import WholeLossSeen
from lightning_nnguard.rules.rule import Rule, threshold

#: Losses that are never negative. The likelihood is one only when it is given log-probabilities.
_BOUNDED = frozenset({
    "cross_entropy", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss", "smooth_l1_loss",
    "huber_loss", "kl_div", "soft_margin_loss", "negative log-likelihood",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LossNegated(Rule[WholeLossSeen]):
    """A loss with the wrong sign: the run trains to be wrong.

    What it checks:
        The trained loss of the audited batches, where it is the result of one loss function that is never negative (cross-entropy,
        squared and absolute errors, divergence, log-probabilities picked by the targets, ...) and nothing but numbers: whether it
        falls when that rises (`-loss`, `loss * -1`, `1 - loss`), or whether all optimizers go uphill (`maximize=True`). Both
        together are right.

    Why it matters:
        The optimizer makes the predictions as wrong as it can, and the loss falls all the time while it does so.

    How to fix:
        Return the loss as the loss function made it: `return F.cross_entropy(logits, y)`. Report a score as `-loss` if a score is
        wanted, but train the loss.

    When it is harmless:
        When a loss is meant to be raised, as by adversarial examples or to unlearn data. Losses of manual optimisation (critics,
        generators), those with several terms (evidence lower bounds), with weights for each sample (policy gradients), with
        targets that the model has made, and those that frozen parameters take part in are not judged.

    References:
        PyTorch documentation, `torch.optim` (maximize).
    """

    code: ClassVar[str] = "NNG706"
    name: ClassVar[str] = "loss-negated"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the optimizer makes predictions as wrong as it can, and the loss falls while it does so"
    fix: ClassVar[str] = "train the loss as the loss function returns it: no minus, and no `maximize=True`"

    min_value: float = threshold(1e-6, "smallest result of the loss function that tells the sign")

    def check(self, seen: WholeLossSeen) -> Finding | None:
        """Judge what a batch trains."""
        if seen.is_manual or seen.is_target_made or seen.has_frozen or (seen.sign > 0) is not seen.is_maximized:
            return None
        if seen.function not in _BOUNDED and not (seen.function == "nll_loss" and seen.input_max <= 0):
            return None
        if seen.value is None or seen.trained_value is None or seen.value < self.min_value:
            return None
        if not seen.has_constant and (seen.trained_value < 0) is not (seen.sign < 0):
            return None  # a factor of unknown sign: the loss is not what the calls tell
        at = f" at {seen.source}" if seen.source else ""
        turned = f"; turned by {seen.turned_source}" if seen.turned_source and seen.sign < 0 else ""
        how = "is maximised" if seen.is_maximized else "falls when it rises"
        return self.finding(
            seen,
            f"the trained loss, {seen.trained_value:.3g}, {how}: {seen.function}{at} is {seen.value:.3g} and never negative "
            f"(threshold {self.min_value:g}){turned}",
            evidence={
                "function": seen.function, "value": seen.value, "trained_value": seen.trained_value, "min_value": self.min_value,
                "is_maximized": seen.is_maximized,
            },
        )  # fmt: skip
