"""Positions that are added to activations: along which dimension they run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lightning_nnguard.observation import PositionAxisSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.feed import RECURRENT
from lightning_nnguard.probe.audit.graph import NOISE, PASSING, chain, origin
from lightning_nnguard.probe.audit.readers.axes import begins_with_samples, target_shapes
from lightning_nnguard.probe.audit.record import Record

_NUM_DIMS = 3
#: Place of `batch_first` among the arguments of a recurrent layer.
_BATCH_FIRST = 8


def position_axes(record: Record) -> Sequence[PositionAxisSeen]:
    """Return one observation for each table that is added to activations (n, m, features) as (n, 1, features), in training."""
    if record.stage != "train":
        return []
    seen = []
    for call in record.calls:
        if call.function != "add" or len(call.inputs) != 2 or call.number not in record.trained:
            continue
        for added, table in (call.inputs, call.inputs[::-1]):
            whole = _table(table) if _is_along_first(added.shape, table.shape) else None
            if whole is not None:
                seen.append(
                    PositionAxisSeen(
                        where=call.where, step=record.at.step, epoch=record.at.epoch, source=call.source, table=whole.label,
                        table_shape=whole.shape, shape=added.shape, is_batch=begins_with_samples(added),
                        target_shapes=target_shapes(record), mixed_lengths=tuple(sorted(set(_mixed(record, call)))),
                    )
                )  # fmt: skip
    return list(dict.fromkeys(seen))


def _is_along_first(added: tuple[int, ...], table: tuple[int, ...]) -> bool:
    return len(added) == len(table) == _NUM_DIMS and table[::2] == added[::2] and table[1] == 1 != added[1]


def _table(value: Value) -> Value | None:
    """Return the longer table that a value is the beginning of, or some numbered rows of; None when it is something else.

    What is looked up by numbers that somebody has drawn, or that come with the batch, depends on the sample.
    """
    size = value.shape[0]
    values = chain(value, PASSING | NOISE)
    call = values[-1].call
    if call is not None and call.function == "embedding":
        weight = call.argument(1, "weight")
        is_cut = isinstance(weight, Value) and len(weight.shape) == 2 and weight.shape[0] > size
        return weight if is_cut and all(_is_count(each) for each in call.inputs if each is not weight) else None
    if call is not None or values[-1].label.startswith("batch"):
        return None
    cuts = [each.call for each in values if each.call is not None and each.call.function in {"getitem", "narrow"}]
    for cut in cuts:
        if all(map(_is_count, cut.inputs[1:])) and _shortens(cut, values, size):
            return values[-1]
    return None


def _shortens(cut: Call, values: Sequence[Value], size: int) -> bool:
    """Return whether a call makes a longer dimension one of a size."""
    before = Counter(cut.inputs[0].shape)
    after = next(Counter(each.shape) for each in values if each.call is cut)
    return any(one > size for one in before - after) and size in after - before


def _is_count(value: Value) -> bool:
    """Return whether a value is made by counting."""
    call = origin(value)
    return call is not None and call.function == "arange"


def _mixed(record: Record, call: Call) -> Iterator[int]:
    """Iterate over the lengths of the dimensions that attention and recurrence which take the result of a call run over."""
    waiting, seen = [call], {call.number}
    for maker in waiting:
        for taker in record.taken_by[maker.number]:
            if taker.number in seen:
                continue
            seen.add(taker.number)
            waiting.append(taker)
            shape = taker.inputs[0].shape
            if taker.function == "multi_head_attention_forward" and len(shape) == _NUM_DIMS:
                yield shape[0]
            elif taker.function == "scaled_dot_product_attention" and len(shape) >= _NUM_DIMS:
                yield shape[-2]
            elif taker.function == "softmax" and len(shape) >= _NUM_DIMS:
                yield shape[-1]
            elif taker.function in RECURRENT and len(shape) == _NUM_DIMS and len(taker.args) > _BATCH_FIRST:
                yield shape[1 if taker.args[_BATCH_FIRST] is True else 0]
