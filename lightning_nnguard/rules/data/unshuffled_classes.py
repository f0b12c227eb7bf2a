"""NNG106."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LabelsSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class UnshuffledClasses(Rule[LabelsSeen]):
    """Batches of one class each: a data set that is sorted by class, read in its order.

    What it checks:
        The labels of the first 200 batches of training with at least 8 samples, one label for each sample. No more than half of
        them may hold a single class when they are not all of the same one.

    Why it matters:
        Each batch pulls the model to its own class, and the next ones take that back. Batch norm sees one class at a time. The loss
        of a batch is small and jumps whenever the class changes.

    How to fix:
        `DataLoader(train, batch_size, shuffle=True)`. A stream is shuffled through a buffer: `dataset.shuffle(10_000)`; files that
        hold one class each are to be read in turns.

    When it is harmless:
        In class-incremental learning, where classes come one after another on purpose. Batches that all hold the same class, as
        with rare positives, are silent, and so are data whose order leaves several classes in most batches.

    References:
        Bottou, "Stochastic Gradient Descent Tricks" (2012); PyTorch documentation, `torch.utils.data.DataLoader`.
    """

    code: ClassVar[str] = "NNG106"
    name: ClassVar[str] = "unshuffled-classes"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "each batch pulls the model to its own class, and the next ones take that back"
    fix: ClassVar[str] = "DataLoader(train, batch_size, shuffle=True)"

    max_pure_fraction: float = threshold(0.5, "largest healthy share of batches that hold a single class", high=1.0)
    min_batches: float = threshold(20, "batches that a verdict needs", low=2)

    def check(self, seen: LabelsSeen) -> Finding | None:
        """Judge the labels."""
        if seen.num_batches < self.min_batches or not seen.is_in_blocks:
            return None
        fraction = seen.num_pure / seen.num_batches
        if fraction <= self.max_pure_fraction:
            return None
        return self.finding(
            seen,
            f"{seen.num_pure} of {seen.num_batches} batches hold a single class (threshold {self.max_pure_fraction:g}), and not "
            f"all of them the same of {seen.num_classes} classes",
            evidence={
                "num_pure": seen.num_pure, "num_batches": seen.num_batches, "fraction": fraction,
                "max_pure_fraction": self.max_pure_fraction, "num_classes": seen.num_classes,
            },
        )  # fmt: skip
