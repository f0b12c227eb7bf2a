"""NNG121."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LabelShiftSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class LabelShift(Rule[LabelShiftSeen]):
    """Validation labels of other classes than those of training, as after a split of a table that is sorted by its label.

    What it checks:
        The shares of the classes among the labels of the first validation loader, when all of it was seen, against those of
        training: of its first epoch, or of a thousand labels of shuffled samples. The distance is their total variation: the share
        of labels that would have to change. It must exceed what a random split into so many labels gives, too.

    Why it matters:
        The score is about classes that the model has hardly been shown, and says nothing about those that it was. It chooses the
        checkpoint, and stops the training.

    How to fix:
        Shuffle before the split, or split within each class: `random_split(data, [0.8, 0.2])`,
        `train_test_split(x, y, stratify=y)`. A slice of a sorted table, `x[:n]` and `x[n:]`, gives one class or another.

    When it is harmless:
        When other classes are meant to come in validation: classes that are learned one after the other, or a score on classes that
        were never trained. A set that was balanced on purpose is not compared with one that was not. Training loaders that draw
        some samples more often than others, several of them, streams, and validations that `limit_val_batches` cuts off are not
        judged.

    References:
        Lipton et al., "Detecting and Correcting for Label Shift with Black Box Predictors" (ICML, 2018); scikit-learn
        documentation, `train_test_split`.
    """

    code: ClassVar[str] = "NNG121"
    name: ClassVar[str] = "label-shift"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the score is about other classes than those that the model is shown"
    fix: ClassVar[str] = "shuffle before the split, or split within each class: train_test_split(x, y, stratify=y)"

    max_distance: float = threshold(0.6, "largest healthy total variation between the shares of the classes", high=1.0)
    min_excess: float = threshold(0.3, "how much larger it must be than what a random split gives", high=1.0)
    min_labels: float = threshold(30, "labels of either set that a verdict needs", low=2)
    max_classes: float = threshold(1000, "classes of the largest problem that is judged", low=2)

    def check(self, seen: LabelShiftSeen) -> Finding | None:
        """Judge the labels of one validation."""
        if seen.is_rebalanced:
            return None
        if min(seen.num_train, seen.num_validation) < self.min_labels or seen.num_classes > self.max_classes:
            return None
        if seen.distance <= self.max_distance or seen.distance - seen.chance <= self.min_excess:
            return None
        unseen = f"; {seen.unseen_fraction:.1%} are of classes that training has not shown" if seen.unseen_fraction else ""
        return self.finding(
            seen,
            f"{seen.num_validation} validation labels differ from {seen.num_train} of training by {seen.distance:.2f} (threshold "
            f"{self.max_distance:g}; a random split gives at most {seen.chance:.2f}): class {seen.label} has "
            f"{seen.validation_share:.1%}, in training {seen.train_share:.1%}{unseen}",
            evidence={
                "distance": seen.distance, "max_distance": self.max_distance, "chance": seen.chance, "label": seen.label,
                "train_share": seen.train_share, "validation_share": seen.validation_share,
                "unseen_fraction": seen.unseen_fraction, "num_train": seen.num_train, "num_validation": seen.num_validation,
            },
        )  # fmt: skip
