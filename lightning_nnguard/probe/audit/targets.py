"""How many targets the training loss compares."""

from __future__ import annotations

from lightning_nnguard.probe.audit.losses import LOSSES, LossFact
from lightning_nnguard.probe.audit.record import Record


def targets_per_sample(record: Record) -> float | None:
    """Return how many targets the trained losses of a batch compare for each sample; None when that is unknown."""
    calls = [call for call in record.calls if call.number in record.trained and call.function in LOSSES]
    facts = [call.fact for call in calls if isinstance(call.fact, LossFact)]
    num = sum(fact.num_targets - fact.num_ignored for fact in facts)
    return num / record.batch_size if num and record.batch_size else None
