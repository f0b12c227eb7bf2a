"""NNG803."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import MonitorSpreadSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class UnsyncedMonitor(Rule[MonitorSpreadSeen]):
    """A monitored metric that each rank knows for its own part of the data only.

    What it checks:
        After each validation, the values that the ranks have for every metric of it that a callback (`ModelCheckpoint`,
        `EarlyStopping`) or a scheduler (`ReduceLROnPlateau`) monitors.

    Why it matters:
        The value in the logs and in the checkpoint's name is that of one part of the validation data. A scheduler lowers
        the rate on one rank and not on the other, and their models part.

    How to fix:
        `self.log(name, value, sync_dist=True)`, or log a `torchmetrics.Metric`, which reduces over ranks by itself.

    When it is harmless:
        When every rank evaluates something of its own, and the checkpoint of rank zero is what is wanted.

    References:
        Lightning documentation, `LightningModule.log`, argument `sync_dist`.
    """

    code: ClassVar[str] = "NNG803"
    name: ClassVar[str] = "unsynced-monitor"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "checkpoints, early stopping and schedules are decided on a part of the validation data"
    fix: ClassVar[str] = "`self.log(name, value, sync_dist=True)`, or log a `torchmetrics.Metric`"
    patience: ClassVar[int] = 2

    max_difference: float = threshold(1e-3, "largest healthy difference between ranks, as a share of the larger value", high=1.0)

    def check(self, seen: MonitorSpreadSeen) -> Finding | None:
        """Judge the values of one metric."""
        low, high = min(seen.values), max(seen.values)
        difference = (high - low) / max(abs(low), abs(high), 1e-30)
        if difference <= self.max_difference:
            return None
        return self.finding(
            seen,
            f"{seen.kind} monitors {seen.where}, which is from {low:.4g} to {high:.4g} on the {len(seen.values)} ranks: "
            f"{difference:.2g} apart (threshold {self.max_difference:g})",
            evidence={
                "low": low, "high": high, "difference": difference, "max_difference": self.max_difference,
                "monitored_by": seen.kind, "world_size": len(seen.values),
            },
        )  # fmt: skip
