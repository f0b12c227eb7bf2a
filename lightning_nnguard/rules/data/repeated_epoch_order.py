"""NNG114."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import EpochOrderSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class RepeatedEpochOrder(Rule[EpochOrderSeen]):
    """Epochs that come in the same order though the sampler shuffles.

    What it checks:
        Digests of the bytes of the first 8 batches of an epoch against those of the epoch before, in the first four epochs, where
        the loader was asked to shuffle: `shuffle=True`, a random sampler, or a sampler that says so by `shuffle` or its name.

    Why it matters:
        The same samples meet in the same batches each time, so that the gradient's noise repeats; shuffling is there to
        average it away.

    How to fix:
        Seed the sampler with the epoch: `generator.manual_seed(self.seed + self.epoch)`, with a `set_epoch` that Lightning calls.
        Do not call `seed_everything` or `torch.manual_seed` in a hook of every epoch.

    When it is harmless:
        When the order is fixed on purpose, as in a curriculum. Loaders that do not shuffle, streams and `overfit_batches` are not
        judged, and neither are samples of so few kinds that their order repeats by chance.

    References:
        PyTorch's documentation of `DistributedSampler`: without `set_epoch`, the same order is used in each epoch.
    """

    code: ClassVar[str] = "NNG114"
    name: ClassVar[str] = "repeated-epoch-order"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the same samples meet in the same batches in each epoch, as if nothing was shuffled"
    fix: ClassVar[str] = (
        "seed the sampler with the epoch: `generator.manual_seed(self.seed + self.epoch)`, and seed nothing in epoch hooks"
    )

    min_equal_fraction: float = threshold(1.0, "smallest share of equal batches that is a fault", high=1.0)
    min_bits: float = threshold(64, "improbability of equal batches by chance that a verdict needs, in bits")

    def check(self, seen: EpochOrderSeen) -> Finding | None:
        """Judge the beginnings of two epochs."""
        equal = seen.num_equal / max(1, seen.num_batches)
        if not seen.sampler or equal < self.min_equal_fraction or seen.bits < self.min_bits:
            return None
        return self.finding(
            seen,
            f"{seen.num_equal} of the first {seen.num_batches} batches ({seen.num_samples} samples) are those of the epoch before "
            f"(threshold {self.min_equal_fraction:.0%}), though {seen.sampler} shuffles",
            evidence={
                "num_equal": seen.num_equal, "num_batches": seen.num_batches, "min_equal_fraction": self.min_equal_fraction,
                "num_samples": seen.num_samples, "bits": seen.bits, "sampler": seen.sampler,
            },
        )  # fmt: skip
