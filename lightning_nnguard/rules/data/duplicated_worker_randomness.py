"""NNG113."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import WorkerSamplesSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class DuplicatedWorkerRandomness(Rule[WorkerSamplesSeen]):
    """Random numbers that each worker of the loader draws alike.

    What it checks:
        Whether the data set, or a transform in it, holds a generator of its own (NumPy, Python or torch) and its items are made
        with it, while several workers have a copy each; this is read from the code, which is not run. And, by digests of the
        bytes of the batches of the first epoch, whether the workers of a map-style data set made equal batches, round by round.

    Why it matters:
        Each worker repeats the random numbers of the others, and without `persistent_workers` each epoch repeats those of the
        first: there is less augmentation than it seems, and synthetic data come several times.

    How to fix:
        Use the global generators, which PyTorch seeds in each worker and epoch, or seed a generator of one's own there:
        `np.random.default_rng(torch.initial_seed() + index)` in `__getitem__`; or pass a `worker_init_fn` that does.

    When it is harmless:
        When the generator decides nothing of what is in an item. Code that seeds its generators itself, asks `get_worker_info`,
        restores itself in the worker (`__setstate__`), or comes with a `worker_init_fn` is not reported.

    References:
        PyTorch's documentation, "Multi-process data loading", on randomness in workers; "Using PyTorch + NumPy? You're making a
        mistake" (T. Pärnamaa, 2021), whose global generator PyTorch seeds itself by now.
    """

    code: ClassVar[str] = "NNG113"
    name: ClassVar[str] = "duplicated-worker-randomness"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "workers repeat each other's random numbers: less augmentation than it seems, or the same samples again"
    fix: ClassVar[str] = (
        "draw from the global generators, or seed one's own per item: `np.random.default_rng(torch.initial_seed() + index)`"
    )

    min_equal_fraction: float = threshold(0.5, "smallest share of rounds with equal batches that is a fault", high=1.0)
    min_bits: float = threshold(40, "improbability of equal batches by chance that a verdict needs, in bits")

    def check(self, seen: WorkerSamplesSeen) -> Finding | None:
        """Judge what the workers made."""
        if seen.num_workers < 2:
            return None
        evidence = {
            "num_workers": seen.num_workers, "num_equal_rounds": seen.num_equal_rounds, "num_rounds": seen.num_rounds,
            "min_equal_fraction": self.min_equal_fraction, "bits": seen.bits,
        }  # fmt: skip
        if seen.generator:
            text = f"items are made with {seen.generator}, of which each of {seen.num_workers} workers has a copy in the same state"
            return self.finding(seen, f"{text} (threshold 1 worker)", evidence={**evidence, "generator": seen.generator})
        equal = seen.num_equal_rounds / max(1, seen.num_rounds)
        if seen.is_iterable or equal < self.min_equal_fraction or seen.bits < self.min_bits:
            return None
        return self.finding(
            seen,
            f"{seen.num_workers} workers made equal batches in {seen.num_equal_rounds} of {seen.num_rounds} rounds "
            f"(threshold {self.min_equal_fraction:.0%})",
            evidence=evidence,
        )
