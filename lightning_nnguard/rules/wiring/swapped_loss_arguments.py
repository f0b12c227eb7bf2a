"""NNG232."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import loss_call

#: Losses whose targets lie between 0 and 1, and whose inputs are something else.
_OF_LABELS = frozenset({"cross_entropy", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div"})
_OF_COUNTS = "poisson_nll_loss"


@dataclass(frozen=True, kw_only=True)
class SwappedLossArguments(Rule[LossCallSeen]):
    """Prediction and target of a loss in the wrong order, as in `F.binary_cross_entropy_with_logits(y, logits)`.

    What it checks:
        The calls of `cross_entropy`, `binary_cross_entropy`, `binary_cross_entropy_with_logits`, `kl_div` and `poisson_nll_loss` in
        the audited batches. The first argument is made of the batch alone, without a parameter or a gradient, and holds what a
        target holds, numbers between 0 and 1 (counts for `poisson_nll_loss`), while the second is what the model has made.

    Why it matters:
        These losses are not symmetric. The labels are taken for logits or log-probabilities, and the loss is linear in the output:
        it has no lower bound, falls without end while the outputs grow, and its value means nothing.

    How to fix:
        PyTorch takes the prediction first: `F.binary_cross_entropy_with_logits(logits, y)`, or name the arguments, `input=logits,
        target=y`. scikit-learn and Keras have them the other way round.

    When it is harmless:
        Losses that are symmetric (squared, absolute and Huber errors) are not judged. Neither are targets that are trained
        themselves, teachers, frozen or not, divergences in the other direction from log-probabilities that come with the data, and
        losses that are called in both directions.

    References:
        PyTorch documentation, `torch.nn.functional.binary_cross_entropy_with_logits` (input, target).
    """

    code: ClassVar[str] = "NNG232"
    name: ClassVar[str] = "swapped-loss-arguments"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "labels are taken for predictions: the loss has no lower bound and falls while nothing right is learned"
    fix: ClassVar[str] = "give the prediction first, the target second: F.binary_cross_entropy_with_logits(logits, y)"

    min_values: float = threshold(8, "values that a verdict needs", low=2)

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
        is_turned = seen.is_input_data and seen.is_target_made and not seen.is_mirrored
        if not is_turned or seen.num_values < self.min_values:
            return None
        if seen.stage == "train" and not seen.is_trained:
            return None
        is_of_labels = seen.function in _OF_LABELS and seen.input_min >= 0 and seen.input_max <= 1
        # Log-probabilities, whose largest is 0, may be data: those of a model that was asked beforehand.
        if not (is_of_labels or (seen.function == _OF_COUNTS and seen.input_min >= 0)) or seen.input_max <= 0:
            return None
        return self.finding(
            seen,
            f"{loss_call(seen)} got {seen.num_values} values of the batch, from {seen.input_min:.3g} to {seen.input_max:.3g}, as "
            f"its input, and what the model has made, from {seen.target_min:.3g} to {seen.target_max:.3g}, as its target (at least "
            f"{self.min_values:g} values)",
            evidence={
                "function": seen.function, "stage": seen.stage, "input_min": seen.input_min, "input_max": seen.input_max,
                "target_min": seen.target_min, "target_max": seen.target_max, "num_values": seen.num_values,
                "min_values": self.min_values,
            },
        )  # fmt: skip
