"""Softmax, and choices of the largest value: along which dimension, of what, and what for."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import ChoiceSeen, SoftmaxSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import NOISE, PASSING, first, origin, roots, unmoved
from lightning_nnguard.probe.audit.layers import Layer, layer_of
from lightning_nnguard.probe.audit.losses import LOSSES, OVER_CLASSES
from lightning_nnguard.probe.audit.record import Record

_SOFTMAX = frozenset({"softmax", "log_softmax"})
#: Where the dimension stands among the arguments.
_CHOICES = {"argmax": 1, "max": 1, "topk": 2}
#: Between softmax and a loss.
_LOGARITHM = PASSING | {"log", "clamp", "clamp_min"}
_FLATTENING = frozenset({"view", "reshape", "flatten"})
_TRANSPOSING = frozenset({"transpose", "swapaxes", "swapdims"})
#: Between a layer and a choice: what leaves the largest value the largest.
_MONOTONE = PASSING | NOISE | _SOFTMAX | {"sigmoid", "tanh", "exp", "log", "log_sigmoid"}
_COMBINING = frozenset({"add", "sub", "mul", "div", "matmul", "bmm", "mm", "einsum", "addcmul"})
_COMPARING = frozenset({"eq", "ne"})
#: What picks values by integers, and where these stand among the arguments.
_PICKING = {"gather": 2, "take_along_dim": 1}
_NUM_DIMS_PICKED = 2
#: What a loss by hand is made of, from the picked values to the mean over all.
_ARITHMETIC = PASSING | {"add", "sub", "rsub", "mul", "div", "neg", "log", "log1p", "exp", "pow", "clamp", "clamp_min", "stack"}
_REDUCING = frozenset({"mean", "sum", "nanmean", "nansum"})


def softmaxes(record: Record) -> Sequence[SoftmaxSeen]:
    """Return one observation for each kind of softmax call."""
    losses = _losses(record)
    seen = []
    for call in record.calls:
        dim = _dimension(call, 1) if call.function in _SOFTMAX else None
        if dim is None:
            continue
        source = call.inputs[0]
        loss, class_dim = losses.get(call.number, (None, None))
        layer = _layer_before(source, PASSING | NOISE)
        seen.append(
            SoftmaxSeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, stage=record.stage, function=call.function,
                source=call.source, shape=source.shape, dim=dim, batch_size=record.batch_size,
                layer=layer.call.function if layer else "", channel_dim=layer.channel_dim if layer else None,
                is_combined=_is_combined(record, call), is_trained=call.number in record.trained,
                loss=loss.function if loss else "", loss_source=loss.source if loss else None,
                class_dim=class_dim,
                target_is_alike=loss is not None and _is_alike(loss.argument(1, "target"), dim),
            )
        )  # fmt: skip
    return list(dict.fromkeys(seen))


def _losses(record: Record) -> dict[int, tuple[Call, int | None]]:
    """Return the loss calls that take the result of a softmax, and the dimension of that result from which they take their classes.

    They are found by the number of the softmax. The dimension is None where the loss does not say.
    """
    table: dict[int, tuple[Call, int | None]] = {}
    for call in record.calls:
        source = call.argument(0, "input") if call.function in LOSSES else None
        if not isinstance(source, Value):
            continue
        if call.function in OVER_CLASSES:
            source, class_dim = _before_flattening(source, min(1, len(source.shape) - 1))
        else:
            class_dim = None
        maker = _before_logarithm(source)
        if maker is not None and maker.function in _SOFTMAX:
            table.setdefault(maker.number, (call, class_dim))
    for call in record.calls:
        picked = _picked(call, record)
        if picked is not None:
            table.setdefault(picked[0].number, (call, picked[1]))
    return table


def _picked(call: Call, record: Record) -> tuple[Call, int] | None:
    """Return the softmax from whose result, or the logarithm of it, a call picks by integers of the batch, and the dimension.

    That is a loss by hand: `p.gather(1, y[:, None])`, `p[torch.arange(len(y)), y]` or `p * F.one_hot(y, 10)`.
    """
    source = call.inputs[0] if call.inputs else None
    if source is None or len(source.shape) != _NUM_DIMS_PICKED:
        return None
    if call.function in _PICKING:
        index = call.argument(_PICKING[call.function], "index", call.kwargs.get("indices"))
        dim = _dimension(call, 3 - _PICKING[call.function])
    elif call.function == "getitem":
        numbers = call.argument(1, "index")
        is_each = isinstance(numbers, tuple) and len(numbers) == _NUM_DIMS_PICKED and _counts_rows(numbers[0], source.shape[0])
        index, dim = (numbers[1], 1) if is_each else (None, None)
    elif call.function == "mul" and len(call.inputs) == _NUM_DIMS_PICKED:
        source, one_hot = sorted(call.inputs, key=lambda value: _is_one_hot(origin(value)))
        made = origin(one_hot)
        is_whole = made is not None and _is_one_hot(made) and one_hot.shape == source.shape
        index, dim = (made.inputs[0], 1) if made is not None and is_whole else (None, None)
    else:
        return None
    is_label = isinstance(index, Value) and not index.is_floating and first(index) in record.batch
    maker = _before_logarithm(unmoved(source, _LOGARITHM | {"exp"})) if is_label else None
    if maker is None or maker.function not in _SOFTMAX or dim is None:
        return None
    return (maker, dim) if call.function != "mul" or _is_reduced(record, call) else None


def _is_reduced(record: Record, call: Call) -> bool:
    """Return whether all that becomes of a product in the trained loss is single numbers, by arithmetic with it and constants.

    Attention over the nodes of each graph of a batch, a softmax over the nodes times the graphs' one-hot numbers, weighs features
    instead, or is added up over the nodes.
    """
    waiting, seen, is_reduced = [call], {call.number}, False
    for maker in waiting:
        for taker in record.taken_by[maker.number]:
            if taker.number not in record.trained or taker.number in seen:
                continue
            if taker.function in _REDUCING and _is_over_all(taker):
                is_reduced = True
            elif taker.function in _ARITHMETIC or (taker.function in _REDUCING and _dimension(taker, 1) != 0):
                seen.add(taker.number)
                waiting.append(taker)
            else:
                return False
    factors = [value for maker in waiting[1:] if maker.function in {"mul", "div"} for value in maker.inputs if value.requires_grad]
    return is_reduced and all(value.call is not None and value.call.number in seen for value in factors)


def _is_over_all(call: Call) -> bool:
    dim = call.argument(1, "dim")
    return not isinstance(dim, int | tuple) or isinstance(dim, bool) or len(call.inputs[0].shape) <= 1


def _is_one_hot(call: Call | None) -> bool:
    return call is not None and call.function == "one_hot"


def _counts_rows(numbers: object, num: int) -> bool:
    """Return whether an index counts all rows, one by one: `torch.arange(num)`, `range(num)`."""
    if isinstance(numbers, Value):
        made = origin(numbers)
        return numbers.shape == (num,) and (made is None or made.function == "arange") and not numbers.label
    return numbers == "range"


def _before_flattening(value: Value, class_dim: int) -> tuple[Value, int]:
    """Return what was flattened to (samples, classes), and where it has its classes; the value itself when nothing was.

    Transposed values are followed, too, as of (batch, time, classes) to (batch, classes, time).
    """
    value = unmoved(value, _LOGARITHM)
    call = value.call
    if call is None or not call.inputs:
        return value, class_dim
    before, num_dims = call.inputs[0], len(value.shape)
    if call.function in _FLATTENING and num_dims == 2 and class_dim == 1 and before.shape[-1:] == value.shape[-1:]:
        return _before_flattening(before, len(before.shape) - 1)
    one, other = (_dimension(call, place, name=name) for place, name in ((1, "dim0"), (2, "dim1")))
    if call.function in _TRANSPOSING and one is not None and other is not None:
        return _before_flattening(before, {one: other, other: one}.get(class_dim, class_dim))
    return value, class_dim


def _before_logarithm(value: object) -> Call | None:
    """Return the call that made a value, or what its logarithm was taken of, a small number added before it or not."""
    if not isinstance(value, Value):
        return None
    value = unmoved(value, _LOGARITHM)
    while value.call is not None and value.call.function == "add" and len(value.call.inputs) == 1:
        value = unmoved(value.call.inputs[0], _LOGARITHM)
    return value.call


def _is_alike(target: object, dim: int) -> bool:
    maker = _before_logarithm(target)
    is_softmax = maker is not None and maker.function in _SOFTMAX and _dimension(maker, 1) == dim
    return is_softmax and not _is_learned(target)


def _is_learned(value: object) -> bool:
    """Return whether a parameter has had a part in a value."""
    return isinstance(value, Value) and any(root.is_parameter for root in roots(value))


def _is_combined(record: Record, call: Call) -> bool:
    waiting = [call]
    for maker in waiting:
        for taker in record.taken_by[maker.number]:
            others = [value for value in taker.inputs if value.call is not maker]
            if taker.function in _COMBINING and any(map(_is_learned, others)):
                return True
            if taker.function in _LOGARITHM | NOISE:
                waiting.append(taker)
    return False


def choices(record: Record) -> Sequence[ChoiceSeen]:
    """Return one observation for each kind of choice among the values that a layer has made."""
    seen = []
    for call in record.calls:
        place = _CHOICES.get(call.function)
        if place is None or not call.inputs:
            continue
        source = call.inputs[0]
        dim = _dimension(call, place, default=-1 if call.function == "topk" else None)
        layer = _layer_before(source, _MONOTONE) if source.is_floating else None
        if dim is None or layer is None:
            continue
        seen.append(
            ChoiceSeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, stage=record.stage, function=call.function,
                source=call.source, shape=source.shape, dim=dim, batch_size=record.batch_size, layer=layer.call.function,
                layer_path=layer.call.where, channel_dim=layer.channel_dim,
                is_compared=source.shape[dim] == 1 and _is_compared(record, call),
            )
        )  # fmt: skip
    return list(dict.fromkeys(seen))


def _is_compared(record: Record, choice: Call) -> bool:
    """Return whether the indices are compared with something, or combined with integers of the batch."""
    for call in record.calls[choice.number + 1 :]:
        indices = [value for value in call.inputs if value.dtype == "int64" and first(value).call is choice]
        if indices and call.function not in PASSING:
            others = [value for value in call.inputs if value not in indices and not value.is_floating]
            if call.function in _COMPARING or any(root in record.batch for other in others for root in roots(other)):
                return True
    return False


def _layer_before(value: Value, through: frozenset[str]) -> Layer | None:
    """Return the layer that made a value, when nothing was reshaped or moved since."""
    return layer_of(unmoved(value, through).call)


def _dimension(call: Call, position: int, default: int | None = None, name: str = "dim") -> int | None:
    """Return the dimension that a call names, from 0 on; None when it names none or its input has none."""
    dim = call.argument(position, name, default)
    num_dims = len(call.inputs[0].shape) if call.inputs else 0
    if isinstance(dim, bool) or not isinstance(dim, int) or not -num_dims <= dim < num_dims:
        return None
    return dim % num_dims
