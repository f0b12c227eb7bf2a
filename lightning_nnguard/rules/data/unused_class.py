"""NNG108."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LabelsSeen
from lightning_nnguard.rules.rule import Rule, threshold

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class UnusedClass(Rule[LabelsSeen]):
    """Classes that the loss is computed over and that no label names: labels that begin at 1.

    What it checks:
        The labels of the first epoch, one for each sample, against the classes of the loss call's logits. It warns when class 0 was
        never seen and every other class was. Any other class that was never seen is mentioned at INFO, after a whole epoch.

    Why it matters:
        Labels that begin at 1 leave output 0 without an example, so whatever reads predictions by their place is one off. Or a
        class was lost on the way: a filter that takes label 0 for "none", a folder that was not read.

    How to fix:
        Count from 0: `y = y - 1`, with one output less. If class 0 should be there, look where it is lost: `if label:` is false
        for 0.

    When it is harmless:
        An output that is kept for something that does not occur in training, such as an unknown class, and heads of a pre-trained
        model with more outputs than there are classes. The class that `ignore_index` names is not expected, and nothing is said
        where rare classes occur a few times only, as characters and words do.

    References:
        PyTorch documentation, `torch.nn.CrossEntropyLoss`: targets are class indices from 0 on.
    """

    code: ClassVar[str] = "NNG108"
    name: ClassVar[str] = "unused-class"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "labels begin at 1, or a class was lost on the way: its output never sees an example"
    fix: ClassVar[str] = "count labels from 0, y = y - 1 with one output less, or look where class 0 is lost (`if label:`)"
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG106"})

    min_labels_per_class: float = threshold(20, "labels for each class that a verdict needs", low=1)
    min_count: float = threshold(10, "labels of the rarest class that occurs; where they are fewer, some may not occur", low=1)
    min_labels: float = threshold(1000, "labels that a verdict on any other class than class 0 needs", low=2)
    min_classes: float = threshold(3, "classes that a warning needs", low=2)

    def check(self, seen: LabelsSeen) -> Finding | None:
        """Judge the labels."""
        unused = [each for each, count in enumerate(seen.counts) if not count and each != seen.ignore_index]
        rarest = min((count for count in seen.counts if count), default=0)
        if not unused or rarest < self.min_count or seen.num_labels < self.min_labels_per_class * seen.num_classes:
            return None
        if unused == [0] and seen.num_classes >= self.min_classes:
            return self._found(seen, unused, f"; the labels run from 1 to {seen.num_classes - 1}")
        if seen.is_epoch_seen and seen.num_labels >= self.min_labels:
            return self._found(seen, unused, "", Severity.INFO)
        return None

    def _found(self, seen: LabelsSeen, unused: Sequence[int], rest: str, severity: Severity | None = None) -> Finding:
        some = ", ".join(map(str, unused[:_NAMED])) + (", ..." if len(unused) > _NAMED else "")
        return self.finding(
            seen,
            f"{len(unused)} of {seen.num_classes} classes ({some}) never occur in {seen.num_labels} labels "
            f"(threshold {self.min_labels_per_class:g} for each class){rest}",
            severity=severity,
            evidence={
                "num_unused": len(unused), "first_unused": unused[0], "num_classes": seen.num_classes,
                "num_labels": seen.num_labels, "min_labels_per_class": self.min_labels_per_class,
            },
        )  # fmt: skip
