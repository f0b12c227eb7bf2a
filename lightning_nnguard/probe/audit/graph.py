"""Questions to the graph of recorded calls."""

from __future__ import annotations

from collections.abc import Iterator

from lightning_nnguard.probe.audit.call import Call, Value

#: Calls that hand their first tensor on: same numbers, perhaps in another shape, order or type, or some of them.
PASSING = frozenset({
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "movedim", "moveaxis",
    "swapaxes", "swapdims", "t", "T", "mT", "H", "mH", "adjoint", "contiguous", "clone", "to", "type", "type_as", "float",
    "double", "half", "bfloat16", "cpu", "cuda", "getitem", "select", "narrow", "chunk", "split", "unbind", "expand",
    "expand_as", "view_as", "reshape_as", "requires_grad", "ravel", "roll", "flip", "index_select", "detach", "data", "alias",
    "resolve_conj", "pixel_shuffle", "pixel_unshuffle",
})  # fmt: skip
#: Calls that change the numbers, but not what they stand for: still "the output of that layer".
NOISE = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"})
#: Calls among `PASSING` that may keep the shape and yet move numbers to other places.
MOVING = frozenset({
    "permute", "transpose", "movedim", "moveaxis", "swapaxes", "swapdims", "t", "T", "mT", "H", "mH", "adjoint", "roll", "flip",
    "index_select", "getitem",
})  # fmt: skip
#: Functions of single values, apart from simple arithmetic.
ACTIVATIONS = frozenset({
    "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign", "tanh",
    "sigmoid", "log_sigmoid", "hardtanh", "hardswish", "hardsigmoid", "hardshrink", "softshrink", "tanhshrink", "threshold",
})  # fmt: skip
POOLS = frozenset({f"{kind}_pool{n}d" for kind in ("max", "avg", "lp", "adaptive_max", "adaptive_avg") for n in (1, 2, 3)})
#: Linear layers by another name.
LINEAR = frozenset({"linear", "bilinear", "addmm"})
CONVOLUTIONS = frozenset({
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"
})  # fmt: skip


def origin(value: Value, through: frozenset[str] = PASSING) -> Call | None:
    """Return the call that made a value's numbers, looking through calls that only hand them on; None when nothing made them.

    Args:
        value: A value.
        through: Names of the functions to look through.
    """
    return first(value, through).call


def first(value: Value, through: frozenset[str] = PASSING) -> Value:
    """Return the value whose numbers a value holds, looking through calls that only hand them on."""
    return chain(value, through)[-1]


def chain(value: Value, through: frozenset[str] = PASSING) -> list[Value]:
    """Return the values that hold the same numbers as a value: itself, what it was made from, ..., where they were made."""
    values = [value]
    while (call := values[-1].call) is not None and call.function in through and call.inputs:
        values.append(call.inputs[0])
    return values


def unmoved(value: Value, through: frozenset[str] = PASSING) -> Value:
    """Return the earliest value that holds the same numbers at the same places: neither reshaped nor reordered since."""
    still = through - MOVING
    while (call := value.call) is not None and call.function in still and call.inputs and call.inputs[0].shape == value.shape:
        value = call.inputs[0]
    return value


def ancestors(value: Value, *, with_grad: bool = False) -> Iterator[Call]:
    """Iterate over the calls that a value was made by, the nearest first, each once.

    Args:
        value: A value.
        with_grad: Whether to follow only tensors through which a gradient flows.
    """
    waiting, seen = [value], set[int]()
    while waiting:
        value = waiting.pop(0)
        call = value.call
        if call is None or call.number in seen or (with_grad and not value.requires_grad):
            continue
        seen.add(call.number)
        yield call
        waiting += call.inputs


def roots(value: Value) -> Iterator[Value]:
    """Iterate over the values that a value was made from and that nothing recorded has made: data, parameters, constants."""
    if value.call is None:
        yield value
    for call in ancestors(value):
        yield from (each for each in call.inputs if each.call is None)


def cuts(value: Value) -> Iterator[Call]:
    """Iterate over the calls on the way to a value that took a tensor with a gradient and returned none, the nearest first."""
    waiting, seen = [value], set[int]()
    while waiting:
        value = waiting.pop(0)
        call = value.call
        if call is None or call.number in seen:
            continue
        seen.add(call.number)
        if value.is_leaf and any(each.requires_grad for each in call.inputs):
            yield call
        else:
            waiting += call.inputs
