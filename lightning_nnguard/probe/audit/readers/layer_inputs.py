"""What the first layers are given."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import LayerInputSeen
from lightning_nnguard.probe.audit.call import Call
from lightning_nnguard.probe.audit.feed import intakes
from lightning_nnguard.probe.audit.graph import PASSING
from lightning_nnguard.probe.audit.inputs import InputFact
from lightning_nnguard.probe.audit.record import Record

_NORMS = frozenset({"batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm"})
_IMAGES = frozenset({"conv2d", "conv3d"})


def layer_inputs(record: Record) -> Sequence[LayerInputSeen]:
    """Return one observation for each trained layer of numbers that is given what is made of the batch alone, in training."""
    if record.stage != "train":
        return []
    seen = []
    for each in intakes(record):
        call, fact = each.call, each.call.fact_of(InputFact)
        if isinstance(fact, InputFact):
            seen.append(
                LayerInputSeen(
                    where=call.where, step=record.at.step, epoch=record.at.epoch, function=call.function, source=call.source,
                    path=", ".join(sorted(each.paths)), shape=call.inputs[0].shape, num_values=fact.num_values, mean=fact.mean,
                    std=fact.std, largest=fact.largest, num_features=fact.num_features,
                    max_feature_std=fact.max_feature_std, median_feature_std=fact.median_feature_std,
                    is_image=call.function in _IMAGES, is_normalised_next=_is_normalised(record, call),
                )
            )  # fmt: skip
    return seen


def _is_normalised(record: Record, call: Call) -> bool:
    takers = list(record.taken_by[call.number])
    while takers and all(each.function in PASSING for each in takers):
        takers = [taker for each in takers for taker in record.taken_by[each.number]]
    return any(each.function in _NORMS for each in takers)
