"""NNG806."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import StragglerSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class Straggler(Rule[StragglerSeen]):
    """One rank that is slower than the others, which wait for it.

    What it checks:
        The time from the start of a batch to its loss, median over windows of 5 sampled steps: that of the slowest rank against the
        mean of the others, for three windows in a row of the same rank. Loading is not in it; on an
        accelerator only what the host waits for is.

    Why it matters:
        All ranks step together, so the slowest one sets the pace of all.

    How to fix:
        Look at that rank's machine: other jobs, fewer cores than workers, a throttled device, a slow disk. Or its data: longer
        sequences than the others'; group samples of like length over ranks.

    When it is harmless:
        When ranks have different work on purpose, such as stages of a pipeline.

    References:
        Jiang et al., "MegaScale: Scaling Large Language Model Training to More Than 10,000 GPUs" (arXiv:2402.15627), section 5.
    """

    code: ClassVar[str] = "NNG806"
    name: ClassVar[str] = "straggler"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "all ranks step together, so the slowest one sets the pace of all"
    fix: ClassVar[str] = "look at that rank's machine (other jobs, cores, throttling) and at the length of its samples"

    max_ratio: float = threshold(1.5, "largest healthy time, as a multiple of the others' mean", low=1.0)
    min_windows: float = threshold(3, "windows in a row in which it must be the slowest", low=1)
    min_seconds: float = threshold(0.005, "time below which a difference is noise, in seconds")

    def check(self, seen: StragglerSeen) -> Finding | None:
        """Judge the slowest rank."""
        excess = seen.seconds - seen.others
        if seen.num_windows < self.min_windows or excess <= self.min_seconds or seen.seconds <= self.max_ratio * seen.others:
            return None
        return self.finding(
            seen,
            f"rank {seen.rank} takes {seen.seconds * 1e3:.3g} ms from a batch to its loss, the other {seen.world_size - 1} take "
            f"{seen.others * 1e3:.3g} ms (threshold {self.max_ratio:g} times; median of {seen.num_steps} sampled steps)",
            evidence={
                "seconds": seen.seconds, "others": seen.others, "max_ratio": self.max_ratio, "num_steps": seen.num_steps,
                "num_windows": seen.num_windows, "min_windows": self.min_windows, "min_seconds": self.min_seconds,
            },
        )  # fmt: skip
