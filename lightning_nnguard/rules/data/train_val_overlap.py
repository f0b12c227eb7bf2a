"""NNG109."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import OverlapSeen
from lightning_nnguard.rules.rule import Rule, threshold

_HOW = {
    "data set": "the same items of the same data set",
    "tensors": "rows of the same tensors",
    "indices": "by the indices of their subsets",
    "bytes": "by 63-bit digests",
}


@dataclass(frozen=True, kw_only=True)
class TrainValOverlap(Rule[OverlapSeen]):
    """Validation on samples that the model is trained on.

    What it checks:
        Before the first batch, which items the loaders read: the same data set, subsets of one data set whose indices meet, tensors
        that share their memory. After a validation, a digest of the bytes of each sample in its first 200 batches against those
        of the first 200 batches of training. Samples agree with their targets. A false match of two samples has a probability of
        about 2^-63.

    Why it matters:
        The metric measures memory instead of generalisation. Early stopping, checkpoints and published numbers follow it.

    How to fix:
        Split once, and never again: `train, val = random_split(data, [0.9, 0.1], generator=torch.Generator().manual_seed(0))`.
        Split before samples are cut into windows, augmented, or repeated to balance classes (`RandomOverSampler`).

    When it is harmless:
        Validation loaders that watch the training error on purpose: it is INFO where another validation loader of the run shares
        nothing with training. Not reported are `overfit_batches` and `fast_dev_run`, streams, and training sets of fewer than 64
        samples, which are learnt by heart on purpose. Neither are equal bytes that are as frequent within training as across,
        as in tables of a few categories; but they are, as a warning, when they are a tenth of the validation and cannot be equal by
        chance, because they hold several real numbers of columns in which different samples hardly ever agree: such samples
        were repeated before the split, or the data hold them several times. Data sets whose items are made up without regard to
        their index are recognised by their bytes alone. Augmented samples have other bytes, and are not found by them. Data that
        `train_dataloader` and `val_dataloader` draw at random are the same numbers where both begin from the same seed:
        Lightning puts the random state back after the sanity check.

    References:
        Kapoor & Narayanan, "Leakage and the Reproducibility Crisis in Machine-Learning-Based Science" (2023).
    """

    code: ClassVar[str] = "NNG109"
    name: ClassVar[str] = "train-val-overlap"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the validation metric measures what the model remembers, not what it has learnt"
    fix: ClassVar[str] = "split the data once, and read each part from its own side: `train, val = random_split(data, [0.9, 0.1])`"

    max_shared_fraction: float = threshold(0.005, "largest healthy share of validation samples that training has", high=1.0)
    min_shared: float = threshold(10, "shared samples that a verdict by digests needs")
    min_train: float = threshold(64, "training samples that a verdict needs; fewer are learnt by heart on purpose", low=1)
    max_excess: float = threshold(
        3, "shared share, relative to that of equal samples within training, that is still natural", low=1
    )
    max_unlikely_fraction: float = threshold(
        0.1,
        "largest healthy share of validation samples that training has and no chance makes equal, if it repeats samples",
        high=1.0,
    )
    min_different_fraction: float = threshold(
        0.2, "different ones among the training samples, as a share, below which the data are of few kinds of samples", high=1.0
    )

    def check(self, seen: OverlapSeen) -> Finding | None:
        """Judge the samples that a validation loader shares with training."""
        shared = seen.num_shared / max(1, seen.num_validation)
        if shared <= self.max_shared_fraction or seen.num_train < self.min_train:
            return None
        natural = seen.num_repeated / max(1, seen.num_train)
        is_natural = seen.shared_by == "bytes" and shared <= self.max_excess * natural
        if seen.shared_by == "bytes" and (seen.num_shared < self.min_shared or (is_natural and not self._are_copies(seen))):
            return None
        among = f"; within training {natural:.1%} of the samples have an equal one" if seen.shared_by == "bytes" else ""
        if is_natural:
            among += f"; {seen.num_unlikely} of the shared ones hold real numbers that no two samples have by chance"
        return self.finding(
            seen,
            f"{seen.num_shared} of {seen.num_validation} samples of {seen.where} ({shared:.1%}, threshold "
            f"{self.max_shared_fraction:.1%}) are among {seen.num_train} training samples, {_HOW[seen.shared_by]}{among}",
            evidence={
                "shared_fraction": shared, "max_shared_fraction": self.max_shared_fraction, "num_shared": seen.num_shared,
                "num_validation": seen.num_validation, "num_train": seen.num_train, "repeated_fraction": natural,
                "shared_by": seen.shared_by, "num_unlikely": seen.num_unlikely,
            },
            severity=Severity.INFO if seen.num_clean_loaders else Severity.WARNING if is_natural else self.severity,
        )  # fmt: skip

    def _are_copies(self, seen: OverlapSeen) -> bool:
        """Return whether samples that are repeated within training, too, are copies of each other rather than of few kinds."""
        is_varied = seen.num_different >= self.min_different_fraction * seen.num_train
        return is_varied and seen.num_unlikely > self.max_unlikely_fraction * seen.num_validation
