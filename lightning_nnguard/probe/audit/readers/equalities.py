"""Comparisons of predictions with labels by `==` and `!=`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lightning_nnguard.observation import EqualitySeen
from lightning_nnguard.probe.audit.call import Value
from lightning_nnguard.probe.audit.graph import PASSING, chain, origin
from lightning_nnguard.probe.audit.metrics import EqualityFact, is_averaged, sides
from lightning_nnguard.probe.audit.record import Record

_CASTING = PASSING | {"long", "int", "short"}
#: Between probabilities and a cast: what leaves them between 0 and 1.
_CHOOSING = PASSING | {"max", "amax", "min", "amin", "topk", "gather", "mean"}
_SQUASHES = frozenset({"softmax", "sigmoid", "hardsigmoid"})


def equalities(record: Record) -> Sequence[EqualitySeen]:
    """Return one observation for each kind of equality between predictions and labels."""
    found = []
    for call in record.calls:
        compared = sides(record, call) if isinstance(call.fact, EqualityFact) else None
        if compared is None or not isinstance(call.fact, EqualityFact):
            continue
        prediction, label = compared
        own, given = call.fact.sides if call.inputs[0] is prediction else reversed(call.fact.sides)
        maker = origin(prediction, _CASTING)
        found.append(
            EqualitySeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, stage=record.stage, function=call.function,
                source=call.source, is_averaged=is_averaged(record, call), num_pairs=call.fact.num_pairs,
                num_equal=call.fact.num_equal, num_predictions=own.num_values, dtype=prediction.dtype, fractional=own.fractional,
                low=own.low, high=own.high, made_by=maker.source if maker else None, squash=_squash(prediction),
                label_dtype=label.dtype, label_fractional=given.fractional,
            )
        )  # fmt: skip
    return list(dict.fromkeys(found))


def _squash(prediction: Value) -> str:
    """Return the function that made the numbers between 0 and 1 that were cast to integers; "" when none were."""
    for after, before in pairwise(chain(prediction, _CASTING)):
        if before.is_floating and not after.is_floating:
            maker = origin(before, _CHOOSING)
            return maker.function if maker is not None and maker.function in _SQUASHES else ""
    return ""
