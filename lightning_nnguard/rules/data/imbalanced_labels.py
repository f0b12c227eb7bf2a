"""NNG107."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LabelsSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class ImbalancedLabels(Rule[LabelsSeen]):
    """Labels most of which are of few classes.

    What it checks:
        The labels of the first epoch, one for each sample: their entropy, as a share of what it would be if the classes that occur
        were equally frequent. For two classes the threshold of 0.5 is reached when one has 11 % of the samples.

    Why it matters:
        A model that always names the largest class is right most of the time, so accuracy and loss look good when nothing is
        learnt of the others.

    How to fix:
        Judge by balanced accuracy, average precision or a score of each class, not by accuracy. If rare classes matter, weight
        them, `F.cross_entropy(logits, y, weight=1 / frequency)`, or draw them more often with `WeightedRandomSampler`.

    When it is harmless:
        When the classes are as rare where the model is used, and the metrics take that into account. It is information, no alarm.

    References:
        He and Garcia, "Learning from Imbalanced Data" (IEEE TKDE, 2009).
    """

    code: ClassVar[str] = "NNG107"
    name: ClassVar[str] = "imbalanced-labels"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "always naming the largest class is right most of the time: accuracy hides what is not learnt"
    fix: ClassVar[str] = "judge by a score of each class; F.cross_entropy(logits, y, weight=1 / frequency) if rare classes matter"
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG106"})

    min_entropy_fraction: float = threshold(0.5, "smallest share of the largest entropy that goes unmentioned", high=1.0)
    min_labels: float = threshold(500, "labels that a verdict needs", low=2)

    def check(self, seen: LabelsSeen) -> Finding | None:
        """Judge the labels."""
        counts = [count for count in seen.counts if count]
        if not seen.is_epoch_seen or seen.num_labels < self.min_labels or len(counts) < 2:
            return None
        shares = [count / seen.num_labels for count in counts]
        fraction = -sum(share * log(share) for share in shares) / log(len(counts))
        if fraction >= self.min_entropy_fraction:
            return None
        largest = max(shares)
        return self.finding(
            seen,
            f"class {seen.counts.index(max(counts))} has {largest:.1%} of {seen.num_labels} labels of {len(counts)} classes: their "
            f"entropy is {fraction:.2g} of its largest value (threshold {self.min_entropy_fraction:g})",
            evidence={
                "entropy_fraction": fraction, "min_entropy_fraction": self.min_entropy_fraction, "num_labels": seen.num_labels,
                "largest_share": largest, "num_classes": len(counts),
            },
        )  # fmt: skip
