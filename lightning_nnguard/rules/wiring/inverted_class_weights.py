"""NNG234."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ClassWeightsSeen
from lightning_nnguard.rules.rule import Rule, threshold

#: Standard errors that a share may be off.
_ERRORS = 2
#: Classes that a comparison of many classes needs.
_MANY = 3
_BINARY = "binary_cross_entropy_with_logits"


@dataclass(frozen=True, kw_only=True)
class InvertedClassWeights(Rule[ClassWeightsSeen]):
    """Loss whose class weights are the wrong way round: frequent classes are weighted up and rare ones down.

    What it checks:
        The class weights that a training loss is given, beside the shares of the classes in the targets of the sampled batches.
        Of two classes, the rarer one must be rarer than 0.35, and the ratio of the weights must be the ratio of the shares, up to
        25 % and the error of the shares: `pos_weight` of `binary_cross_entropy_with_logits`, and `weight` of `cross_entropy` and
        `nll_loss`. Of three or more, the weights must be proportional to the shares, each of them up to 25 % and its error, and
        differ by a factor of 1.5 at least.

    Why it matters:
        The loss all but ignores the rare class. Accuracy and the loss look well, and its recall is poor, worse than without
        weights.

    How to fix:
        `pos_weight` is the number of negatives divided by that of positives. Class weights are inverse to the counts:
        `counts.sum() / (len(counts) * counts)`.

    When it is harmless:
        When false alarms of the rare class cost so much more than misses. Not reported are weights that follow something else
        (inverse square roots, costs, all alike), weights that change from batch to batch, batches from a sampler that draws with
        replacement, streams, losses of `reduction="none"`, several columns of labels, and shares of which too little is known.

    References:
        PyTorch documentation, `torch.nn.BCEWithLogitsLoss`: `pos_weight`. King and Zeng, "Logistic Regression in Rare Events Data"
        (2001). scikit-learn's `class_weight="balanced"`.
    """

    code: ClassVar[str] = "NNG234"
    name: ClassVar[str] = "inverted-class-weights"
    severity: ClassVar[Severity] = Severity.WARNING
    patience: ClassVar[int] = 2
    why: ClassVar[str] = "the rare class, which the weights are for, counts even less than without them"
    fix: ClassVar[str] = (
        "weight = counts.sum() / (len(counts) * counts); in binary_cross_entropy_with_logits "
        "pos_weight = num_negatives / num_positives"
    )

    max_rare_share: float = threshold(0.35, "largest share of the rarer of two classes, its error added", high=0.5)
    min_ratio: float = threshold(1.5, "smallest ratio of the largest to the smallest weight, and share, of several classes", low=1)
    max_departure: float = threshold(1.25, "factor by which weights may depart from the shares, beside their error", low=1)
    max_uncertainty: float = threshold(3.0, "largest ratio of the bounds between which the odds of two classes lie", low=1)
    max_error: float = threshold(0.25, "largest standard error of a share, divided by it, of several classes", high=1)
    min_slope: float = threshold(0.75, "smallest slope of the logarithms of several weights over those of the shares", low=0)
    max_slope: float = threshold(1.25, "largest slope of them", low=1)
    min_correlation: float = threshold(0.95, "smallest correlation of them", high=1)
    min_targets: float = threshold(200, "targets that a verdict needs", low=1)
    min_batches: float = threshold(8, "batches that a verdict needs", low=2)

    def check(self, seen: ClassWeightsSeen) -> Finding | None:
        """Judge the class weights of one loss."""
        if seen.num_targets < self.min_targets or seen.num_batches < self.min_batches:
            return None
        what = self._of_two(seen) if len(seen.weights) == 2 else self._of_many(seen)
        if what is None:
            return None
        message, evidence = what
        at = f"{seen.function} at {seen.source}" if seen.source else seen.function
        return self.finding(
            seen,
            f"{at} {message}, counted in {seen.num_targets} targets of {seen.num_batches} batches",
            evidence={**evidence, "num_targets": seen.num_targets, "num_batches": seen.num_batches},
        )

    def _of_two(self, seen: ClassWeightsSeen) -> tuple[str, dict[str, float]] | None:
        """Compare the ratio of two weights with the odds of class 1."""
        share, error = seen.shares[1], _ERRORS * seen.errors[1]
        low, high = share - error, share + error
        if low <= 0 or high >= 1 or min(seen.weights) <= 0 or not (high < self.max_rare_share or low > 1 - self.max_rare_share):
            return None
        smallest, largest = low / (1 - low), high / (1 - high)
        ratio, odds = seen.weights[1] / seen.weights[0], share / (1 - share)
        if largest / smallest > self.max_uncertainty:
            return None
        if not smallest / self.max_departure < ratio < largest * self.max_departure:
            return None
        given = f"is given pos_weight={ratio:.3g}" if seen.function == _BINARY else f"weights class 1 {ratio:.3g} times class 0"
        message = (
            f"{given}, which is the ratio of positives to negatives ({share:.1%} are positive: {odds:.3g}, threshold a factor "
            f"of {self.max_departure:g}) and not of negatives to positives ({1 / odds:.3g})"
        )
        return message, {"weight_ratio": ratio, "share": share, "odds": odds, "max_departure": self.max_departure}

    def _of_many(self, seen: ClassWeightsSeen) -> tuple[str, dict[str, float]] | None:
        """Compare the weights of several classes with their shares."""
        classes = [each for each in zip(seen.weights, seen.shares, seen.errors, strict=True) if each[0] > 0]
        known = [
            (weight, share, error / share) for weight, share, error in classes if share > 0 and error <= self.max_error * share
        ]
        if len(known) < _MANY or 2 * len(known) < len(classes):
            return None
        weights, shares, errors = zip(*known, strict=True)
        if max(weights) <= self.min_ratio * min(weights) or max(shares) <= self.min_ratio * min(shares):
            return None
        logs = [log(weight / share) for weight, share, _ in known]
        middle, limit = sum(logs) / len(logs), log(self.max_departure)
        if any(abs(each - middle) >= limit + _ERRORS * error for each, error in zip(logs, errors, strict=True)):
            return None
        slope, correlation = _line([log(each) for each in shares], [log(each) for each in weights])
        if not self.min_slope <= slope <= self.max_slope or correlation < self.min_correlation:
            return None
        most, least = max(known, key=lambda each: each[1]), min(known, key=lambda each: each[1])
        message = (
            f"weights classes by how often they occur: {most[0]:.3g} for {most[1]:.1%} of the targets, {least[0]:.3g} for "
            f"{least[1]:.1%}; all {len(known)} weights are proportional to the shares within a factor of {self.max_departure:g} "
            f"(threshold) and their error, slope {slope:.2f} of the logarithms, where balancing has -1"
        )
        evidence = {"slope": slope, "correlation": correlation, "num_classes": len(known), "max_departure": self.max_departure}
        return message, evidence


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return the slope of the line through points, and their correlation; neither coordinate is constant."""
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    across = [each - middle_x for each in x]
    up = [each - middle_y for each in y]
    product = sum(a * b for a, b in zip(across, up, strict=True))
    size_x, size_y = sum(each**2 for each in across), sum(each**2 for each in up)
    return product / size_x, product / (size_x * size_y) ** 0.5
