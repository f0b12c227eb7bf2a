"""NNG804."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LogKeysSeen
from lightning_nnguard.rules.rule import Rule


@dataclass(frozen=True, kw_only=True)
class UnevenLogKeys(Rule[LogKeysSeen]):
    """A metric that some ranks have logged and others not.

    What it checks:
        After each validation, which of its metrics each rank has in `trainer.callback_metrics`; those logged with
        `rank_zero_only=True` are left out.

    Why it matters:
        With `sync_dist=True` a metric that one rank does not log makes the others wait for it for ever, or averages it with
        another one. Without it, what monitors the metric acts on some ranks only.

    How to fix:
        Log the same names on all ranks, in the same order: no `self.log` below `if self.global_rank == 0` or below a
        condition on the batch; log a neutral value, or a `torchmetrics.Metric` that saw nothing. What belongs to rank zero
        alone goes with `self.log(..., rank_zero_only=True)`.

    When it is harmless:
        A metric for people, of one rank, that nothing monitors.

    References:
        Lightning documentation, `LightningModule.log`, arguments `sync_dist` and `rank_zero_only`.
    """

    code: ClassVar[str] = "NNG804"
    name: ClassVar[str] = "uneven-log-keys"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "ranks that reduce different metrics wait for each other for ever, or mix them up"
    fix: ClassVar[str] = "log the same names on all ranks, in the same order; `rank_zero_only=True` for what is of rank zero alone"
    patience: ClassVar[int] = 2

    def check(self, seen: LogKeysSeen) -> Finding | None:
        """Judge one metric."""
        if len(seen.with_it) >= seen.world_size or not seen.with_it:
            return None
        some = ", ".join(map(str, seen.with_it[:8])) + (", ..." if len(seen.with_it) > 8 else "")
        return self.finding(
            seen,
            f"{seen.where} is logged by {len(seen.with_it)} of {seen.world_size} ranks ({some}; expected all of them)",
            evidence={"num_with_it": len(seen.with_it), "world_size": seen.world_size, "first_rank": seen.with_it[0]},
        )
