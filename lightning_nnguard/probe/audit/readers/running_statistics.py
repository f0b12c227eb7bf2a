"""Running statistics of batch norm."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import RunningStatisticsSeen
from lightning_nnguard.probe.audit.call import Value
from lightning_nnguard.probe.audit.norms import NormFact
from lightning_nnguard.probe.audit.record import Record


def running_statistics(record: Record) -> Sequence[RunningStatisticsSeen]:
    """Return one observation for each measured call of batch norm in eval mode."""
    seen = []
    for call in record.calls:
        fact, weight, momentum = call.fact, call.argument(3, "weight"), call.argument(6, "momentum", 0.1)
        if not isinstance(fact, NormFact):
            continue
        seen.append(
            RunningStatisticsSeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, stage=record.stage, source=call.source,
                num_channels=fact.num_channels, num_samples=fact.num_samples, num_values=fact.num_values, shift=fact.shift,
                variance_ratio=fact.variance_ratio, spread_ratio=fact.spread_ratio, is_untouched=fact.is_untouched,
                momentum=momentum if isinstance(momentum, float) else 0.0,
                frozen=isinstance(weight, Value) and not weight.requires_grad,
            )
        )  # fmt: skip
    return seen
