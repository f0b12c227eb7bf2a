"""NNG801."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import RankDataSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class RanksSameData(Rule[RankDataSeen]):
    """All ranks train on the same batches.

    What it checks:
        Digests of the bytes of each rank's batch, on sampled steps: whether they are the same on all ranks, several times in a
        row, with batches that differ from one step to the next.

    Why it matters:
        The gradients that are averaged are the same one, so that all processes together learn what one of them would. The rest
        of the data may never be seen, and epochs, schedules and the effective batch size are not what they seem to be.

    How to fix:
        Give each rank its part: leave `Trainer(use_distributed_sampler=True)` on and let Lightning make the sampler, or use
        `DistributedSampler`. An `IterableDataset` has to skip by itself: item `i` belongs to rank `i % world_size`, with
        `torch.distributed.get_rank()`; mind its workers, too.

    When it is harmless:
        When all work on one batch on purpose: one batch that never changes (a whole graph, `overfit_batches=1`, a loader of
        dummies) is not reported, neither are samples of fewer than four numbers (counters, seeds), from which each rank may make
        its own, and neither are the ranks of a tensor-parallel group.

    References:
        PyTorch documentation, `DistributedSampler`; Lightning documentation, `use_distributed_sampler`.
    """

    code: ClassVar[str] = "NNG801"
    name: ClassVar[str] = "ranks-same-data"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "all processes together learn what one of them would, and part of the data may never be seen"
    fix: ClassVar[str] = (
        "leave `use_distributed_sampler=True` on, or use a `DistributedSampler`; an `IterableDataset` must take item `i` on rank "
        "`i % world_size`"
    )

    max_equal: float = threshold(4, "sampled steps in a row, each with another batch, that may be equal by chance", low=1)

    def check(self, seen: RankDataSeen) -> Finding | None:
        """Judge the latest sampled steps."""
        if seen.num_different <= self.max_equal:
            return None
        return self.finding(
            seen,
            f"all {seen.world_size} ranks had the same batch at each of the last {seen.num_steps} sampled steps, "
            f"{seen.num_different} different batches (threshold {self.max_equal:g})",
            evidence={
                "num_steps": seen.num_steps, "num_different": seen.num_different, "max_equal": self.max_equal,
                "world_size": seen.world_size,
            },
        )  # fmt: skip
