"""NNG233."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ReducedWeightsSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class WeightsAfterReduction(Rule[ReducedWeightsSeen]):
    """Weights or a mask of samples that come after the mean, so that all samples count the same.

    What it checks:
        Products in the first audited batches of a loss that is one number already, the mean or sum of a loss function over several
        samples, with a tensor of the batch that has a value for each sample or target, where the trained loss is a mean or sum of
        the result. The values must differ, and have no gradient.

    Why it matters:
        `(F.cross_entropy(x, y) * w).mean()` is the plain loss times the mean of `w`: no sample counts more than another. Rare
        classes stay rare, and what a mask should hide is trained. Nothing raises, because a number fits any shape.

    How to fix:
        Keep a loss for each sample: `loss = F.cross_entropy(x, y, reduction="none")`, then `(loss * w).sum() / w.sum()`.

    When it is harmless:
        When the whole batch is to count more by the mean of its weights. Weights of several losses (as many as there are losses),
        weights that are all alike, single numbers, weights with a gradient and weights that do not come from the batch are not
        judged.

    References:
        PyTorch documentation, `torch.nn.CrossEntropyLoss` (reduction).
    """

    code: ClassVar[str] = "NNG233"
    name: ClassVar[str] = "weights-after-reduction"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the loss is one number before the weights come: they scale it, and all samples count the same"
    fix: ClassVar[str] = 'loss = F.cross_entropy(x, y, reduction="none"), then (loss * w).sum() / w.sum()'

    max_spread: float = threshold(1e-3, "largest range of weights that are all alike, as a share of the largest weight")
    min_targets: float = threshold(2, "targets that the loss must have compared", low=2)

    def check(self, seen: ReducedWeightsSeen) -> Finding | None:
        """Judge one product."""
        largest = max(abs(seen.weight_min), abs(seen.weight_max))
        if seen.num_targets < self.min_targets or seen.weight_max - seen.weight_min <= self.max_spread * largest:
            return None
        loss = f"{seen.function} at {seen.loss_source}" if seen.loss_source else seen.function
        at = f" at {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"the {seen.reduction} of {loss} over {seen.num_targets} targets is multiplied{at} by {seen.num_weights} weights "
            f"from {seen.weight_min:.3g} to {seen.weight_max:.3g} (threshold {self.max_spread:g} of the largest): all count alike",
            evidence={
                "function": seen.function, "reduction": seen.reduction, "num_targets": seen.num_targets,
                "num_weights": seen.num_weights, "weight_min": seen.weight_min, "weight_max": seen.weight_max,
                "max_spread": self.max_spread,
            },
        )  # fmt: skip
