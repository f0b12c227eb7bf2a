"""NNG119."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import WorkerSamplesSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class DuplicateSamples(Rule[WorkerSamplesSeen]):
    """A stream that each worker of the loader reads from its start.

    What it checks:
        Digests of the bytes of the samples in the first 200 batches of the first epoch, for an `IterableDataset` with several
        workers: samples that another worker has made, too, against those that one worker makes twice.

    Why it matters:
        An epoch shows each sample as many times as there are workers. Epochs last longer than they say, and equal samples
        that are close together make the gradient noisier.

    How to fix:
        Share the stream among the workers: `info = get_worker_info()` in `__iter__`, and
        `itertools.islice(stream, info.id, None, info.num_workers)`.

    When it is harmless:
        When repetition is wanted. Streams that repeat samples within one worker as often, such as replay buffers and data of a
        few values, are not reported.

    References:
        PyTorch's documentation of `IterableDataset`, whose first example divides the work among the workers.
    """

    code: ClassVar[str] = "NNG119"
    name: ClassVar[str] = "duplicate-samples"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "an epoch shows each sample once for each worker"
    fix: ClassVar[str] = (
        "share the stream among workers: `islice(stream, info.id, None, info.num_workers)` with `info = get_worker_info()`"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG113"})

    max_duplicate_fraction: float = threshold(0.1, "largest healthy share of samples that another worker made, too", high=1.0)
    max_excess: float = threshold(3, "that share, relative to repetition within a worker, that is still natural", low=1)
    min_samples: float = threshold(64, "samples that a verdict needs", low=2)

    def check(self, seen: WorkerSamplesSeen) -> Finding | None:
        """Judge what the workers made."""
        if not seen.is_iterable or seen.num_samples < self.min_samples:
            return None
        across, within = seen.num_across / seen.num_samples, seen.num_within / seen.num_samples
        if across <= self.max_duplicate_fraction or across <= self.max_excess * within:
            return None
        return self.finding(
            seen,
            f"{seen.num_across} of {seen.num_samples} samples ({across:.0%}, threshold {self.max_duplicate_fraction:.0%}) were "
            f"made by another of the {seen.num_workers} workers, too; {seen.num_within} by the same one",
            evidence={
                "duplicate_fraction": across, "max_duplicate_fraction": self.max_duplicate_fraction,
                "num_across": seen.num_across, "num_within": seen.num_within, "num_samples": seen.num_samples,
                "num_workers": seen.num_workers,
            },
        )  # fmt: skip
