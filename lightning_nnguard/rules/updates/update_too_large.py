"""NNG501."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import UpdateSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class UpdateTooLarge(Rule[UpdateSeen]):
    """Weight update that is large relative to the weights.

    What it checks:
        The median, over the sampled steps of a window, of norm(update) / norm(weight) of each weight matrix, where the update is
        what the optimizer really did (weight after minus weight before), so momentum, adaptive scaling, clipping and weight decay
        are all in it. Up to 0.3 it is INFO while the run is learning: a weight that starts too small for its task is built up by
        such steps. Above that it is a warning in any case.

    Why it matters:
        A step this large overwrites what earlier steps learned. The loss oscillates, units die, or the run diverges.

    How to fix:
        Lower the learning rate, lengthen the warm-up, or clip gradients. Healthy ratios lie around 1e-3.

    When it is harmless:
        In the first steps (ignored here), for zero-initialised tensors, embeddings, normalisation gains and biases (not judged).
        Language models trained with SGD at a rate of 20 and clipped gradients pass 1e-1 for some hundred steps and learn well.

    References:
        Stanford CS231n, "Ratio of weights:updates"; measured on 84 healthy runs: 0 of 82 above 1e-1.
    """

    code: ClassVar[str] = "NNG501"
    name: ClassVar[str] = "update-too-large"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "a step this large overwrites what earlier steps learned, so the loss oscillates or diverges"
    fix: ClassVar[str] = "lower the learning rate, lengthen the warm-up, or clip gradients"
    patience: ClassVar[int] = 2
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG101", "NNG303", "NNG401", "NNG504", "NNG508", "NNG702", "NNG712"})

    max_ratio: float = threshold(1e-1, "largest healthy median of norm(update) / norm(weight)")
    max_ratio_learning: float = threshold(3e-1, "largest median that is INFO only while the run is learning")
    min_span: float = threshold(50, "steps that the median must cover")
    min_step: float = threshold(20, "steps at the start that are not judged")

    def is_gated(self, seen: UpdateSeen) -> bool:
        """Return whether learning excuses the median."""
        return seen.ratio_median <= self.max_ratio_learning

    def check(self, seen: UpdateSeen) -> Finding | None:
        """Judge the median update ratio of one weight matrix."""
        judged = seen.kind == "weight" and seen.num_dims >= 2 and not seen.zero_initialised
        if not judged or seen.step < self.min_step or seen.span < self.min_span or seen.ratio_median <= self.max_ratio:
            return None
        return self.finding(
            seen,
            f"update is {seen.ratio_median:.1e} of the weight "
            f"(threshold {self.max_ratio:.0e}, median of {seen.num_samples} sampled steps over {seen.span} steps)",
            evidence={"ratio": seen.ratio_median, "max_ratio": self.max_ratio, "num_samples": seen.num_samples, "span": seen.span},
        )
