"""Axes on their way: the batch into layers over time, and the classes of a layer into a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning_nnguard.observation import ReshapedClassesSeen, TimeAxisSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.feed import RECURRENT
from lightning_nnguard.probe.audit.graph import ACTIVATIONS, CONVOLUTIONS, MOVING, NOISE, PASSING, POOLS, chain, roots
from lightning_nnguard.probe.audit.layers import layer_of
from lightning_nnguard.probe.audit.losses import LOSSES, OVER_CLASSES
from lightning_nnguard.probe.audit.record import Record

#: Attention of torch: its layer moves a batch from dimension 0 to 1 before this call.
_ATTENTION = "multi_head_attention_forward"
#: Calls whose result has the samples where their input has them, if dimension 0 is as long as before.
_BY_SAMPLE = (
    (PASSING - MOVING) | NOISE | ACTIVATIONS | POOLS | CONVOLUTIONS
    | {"linear", "embedding", "layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm", "add", "sub", "mul", "div"}
)  # fmt: skip
#: Calls that leave the numbers in the order in which they lie, row by row, if there are as many as before.
_IN_ORDER = ((PASSING - MOVING) | NOISE | {"softmax", "log_softmax", "log", "clamp", "clamp_min"}) - {
    "pixel_shuffle", "pixel_unshuffle",
}  # fmt: skip
_NUM_DIMS = 3
#: Where a recurrent layer of torch has its weights, whether it has biases, and whether the batch comes first.
_WEIGHTS, _HAS_BIAS, _BATCH_FIRST = 2, 3, 8


def time_axes(record: Record) -> Sequence[TimeAxisSeen]:
    """Return one observation for each kind of call of a layer that takes its time from dimension 0, of training batches."""
    calls = [call for call in record.calls if _takes_time_first(call)] if record.stage == "train" else []
    if not calls:
        return ()
    shapes = target_shapes(record)
    seen = (
        TimeAxisSeen(
            where=call.where, step=record.at.step, epoch=record.at.epoch, function=call.function, source=call.source,
            shape=call.inputs[0].shape, is_batch=begins_with_samples(call.inputs[0]), target_shapes=shapes,
        )
        for call in calls
        if call.number in record.trained
    )  # fmt: skip
    return list(dict.fromkeys(seen))


def _takes_time_first(call: Call) -> bool:
    """Return whether a call is of a layer over sequences of three dimensions, neither packed nor with the batch first."""
    if not call.inputs or call.args[:1] != (call.inputs[0],) or len(call.inputs[0].shape) != _NUM_DIMS:
        return False
    if call.function not in RECURRENT:
        return call.function == _ATTENTION
    args: Sequence[Any] = call.args
    is_plain = len(args) == _BATCH_FIRST + 1 and isinstance(args[_WEIGHTS], list | tuple) and isinstance(args[_HAS_BIAS], bool)
    return is_plain and args[_BATCH_FIRST] is False


def begins_with_samples(value: Value) -> bool:
    """Return whether dimension 0 of a value is that of a tensor of the batch."""
    size = value.shape[0]
    while (call := value.call) is not None:
        if call.function not in _BY_SAMPLE and not _slices_others(call):
            return False
        before = next((each for each in call.inputs if each.shape[:1] == (size,) and not each.is_parameter), None)
        if before is None:
            return False
        value = before
    return value.label.startswith("batch")


def _slices_others(call: Call) -> bool:
    """Return whether a call keeps the first dimension as it is, if that is as long as before: `x[:, 1:]`, `x[..., 0]`."""
    index = call.argument(1, "index")
    first_of = index[:1] if call.function == "getitem" and isinstance(index, tuple) else ()
    return any(isinstance(each, slice) or each in {"slice", "ellipsis"} for each in first_of)


def target_shapes(record: Record) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of the tensors of the batch that targets of the trained losses are made of."""
    losses = [call for call in record.calls if call.function in LOSSES and call.number in record.trained]
    targets = [value for call in losses if isinstance(value := call.argument(1, "target"), Value)]
    found = (root.shape for value in targets for root in roots(value) if root.label.startswith("batch"))
    return tuple(dict.fromkeys(found))


def reshaped_classes(record: Record) -> Sequence[ReshapedClassesSeen]:
    """Return one observation for each kind of loss call over classes whose logits were reshaped after a layer had made them."""
    seen = []
    for call in record.calls:
        source = call.argument(0, "input") if call.function in OVER_CLASSES else None
        if not isinstance(source, Value) or not source.shape:
            continue
        values = _in_order(source)
        layer = layer_of(values[-1].call)
        if layer is None or values[-1].shape == source.shape:
            continue
        reshaping = next(each.call for each in values if each.call and each.call.inputs[0].shape != each.shape)
        seen.append(
            ReshapedClassesSeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, function=call.function, source=call.source,
                reshaped_by=reshaping.source, layer=layer.call.function, layer_path=layer.call.where,
                shape_before=values[-1].shape, channel_dim=layer.channel_dim, shape=source.shape,
            )
        )  # fmt: skip
    return list(dict.fromkeys(seen))


def _in_order(value: Value) -> list[Value]:
    """Return the values that hold the numbers of a value in the same order, back to where they were made."""
    values = chain(value, _IN_ORDER)
    num = next((i for i, each in enumerate(values) if _count(each) != _count(value)), len(values))
    return values[:num]


def _count(value: Value) -> int:
    num = 1
    for size in value.shape:
        num *= size
    return num
