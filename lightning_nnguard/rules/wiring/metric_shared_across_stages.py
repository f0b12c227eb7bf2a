"""NNG224."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import MetricSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class MetricSharedAcrossStages(Rule[MetricSeen]):
    """Metric object that adds validation to what it still holds from training.

    What it checks:
        The number of updates of each torchmetrics object, before and after the first batch of training and of each
        evaluation. It is told when training updates it, when it still holds updates as an evaluation begins, which then
        adds its own, and when that state is used: computed at the end, or never anything but updated.

    Why it matters:
        Lightning validates in the middle of a training epoch. The validation metric is then computed over training
        batches, too, and the reset after it leaves the training metric with next to nothing. Early stopping and the
        choice of a checkpoint follow a number that is neither.

    How to fix:
        Make one object a stage: `self.train_acc = Accuracy(...)` and `self.val_acc = Accuracy(...)`, or `metrics.clone("val_")`
        of a `MetricCollection`.

    When it is harmless:
        A shared object whose value of a single batch is logged (`self.log("acc", self.acc(y, t))`), or that is reset before each
        evaluation, mixes nothing and is not told; nor is a metric that is fed real and generated samples by a flag (FID).

    References:
        torchmetrics documentation, "TorchMetrics in PyTorch Lightning" (common pitfalls).
    """

    code: ClassVar[str] = "NNG224"
    name: ClassVar[str] = "metric-shared-across-stages"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the validation metric counts training batches, and the reset after it empties the training metric"
    fix: ClassVar[str] = "make one metric object a stage: self.train_acc = Accuracy(...), self.val_acc = Accuracy(...)"

    max_num_carried: float = threshold(0, "updates that a metric still holds when an evaluation begins")

    def check(self, seen: MetricSeen) -> Finding | None:
        """Judge one metric after an evaluation."""
        is_mixed = seen.in_training and seen.is_read and not seen.mixes_on_purpose
        if not is_mixed or seen.num_carried <= self.max_num_carried:
            return None
        return self.finding(
            seen,
            f"{seen.kind} still held {seen.num_carried} updates (threshold {self.max_num_carried:g}) from training when stage "
            f"{seen.stage!r} began and added its own",
            evidence={"num_carried": seen.num_carried, "max_num_carried": self.max_num_carried, "stage": seen.stage},
        )
