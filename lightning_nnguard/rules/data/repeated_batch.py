"""NNG105."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import RepeatedBatchSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class RepeatedBatch(Rule[RepeatedBatchSeen]):
    """The same batch in every step of training.

    What it checks:
        A digest of the bytes of each of the first 200 batches, targets included. It speaks of equal batches in a row, the same
        samples in the same order, when chance does not explain them: samples of a few kinds make equal batches by themselves.

    Why it matters:
        The model learns one batch by heart. Its training loss falls quickly, and all other samples are never seen.

    How to fix:
        Draw a new batch in each step: make the iterator once and call `next` on the same one, and let `__getitem__` use its index.
        To train on one batch on purpose, say so: `Trainer(overfit_batches=1)`.

    When it is harmless:
        Training on one batch that holds all samples: it is not reported where an epoch is one batch, where the loader's data set is
        no larger than the batch, under `overfit_batches` or `fast_dev_run`, and it is INFO where ready-made batches are handed on
        (`batch_size=None`, or a loader that is not PyTorch's), because they may be the whole data set. Batches that come a few
        times each before the next one does (data echoing) do not reach the threshold.

    References:
        Choi et al., "Faster Neural Network Training with Data Echoing" (2019), on batches that are repeated on purpose.
    """

    code: ClassVar[str] = "NNG105"
    name: ClassVar[str] = "repeated-batch"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the model learns one batch by heart and never sees the other samples"
    fix: ClassVar[str] = (
        "draw a new batch in each step: call `next` on one iterator that is made once, or `Trainer(overfit_batches=1)`"
    )

    max_repeats: float = threshold(9, "largest healthy number of equal batches in a row, counted in batches", low=1)
    min_bits: float = threshold(40, "improbability of equal batches by chance that a verdict needs, in bits")

    def check(self, seen: RepeatedBatchSeen) -> Finding | None:
        """Judge equal batches in a row."""
        holds_all = seen.population is not None and seen.population <= seen.num_samples
        if seen.num_batches <= self.max_repeats or seen.bits < self.min_bits or holds_all:
            return None
        of = "" if seen.population is None else f" of {seen.population}"
        return self.finding(
            seen,
            f"{seen.num_batches} batches in a row are equal, {seen.num_samples} samples{of} in the same order "
            f"(threshold {self.max_repeats:g} batches)",
            evidence={
                "num_batches": seen.num_batches, "max_repeats": self.max_repeats, "num_samples": seen.num_samples,
                "bits": seen.bits, "min_bits": self.min_bits,
            },
            severity=Severity.INFO if seen.hands_on else self.severity,
        )  # fmt: skip
