"""What the input and the target of a loss function are made of."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import NOISE, PASSING, chain, first, origin
from lightning_nnguard.probe.audit.layers import layer_of
from lightning_nnguard.probe.audit.losses import OVER_CLASSES, SIGNED, LossFact
from lightning_nnguard.probe.audit.record import Record

#: Functions whose range is bounded, at least on one side, and that nobody needs to keep logits from overflowing.
_SQUASHING = frozenset({"sigmoid", "hardsigmoid", "tanh", "softsign", "relu"})
#: Between the last layer and such a function.
_BETWEEN = PASSING | NOISE | {"batch_norm"}


class Squash(NamedTuple):
    """The call of a bounded function on the output of a layer, and whether the trained loss uses its result in another way, too."""

    call: Call
    is_shared: bool


def input_of(call: Call) -> Value:
    """Return the input of a measured loss function, of a pair the first one."""
    value: Value = call.argument(0, "input1" if "input1" in call.kwargs else "input")
    return value


def target_of(call: Call) -> Value:
    """Return the target of a measured loss function."""
    value: Value = call.argument(SIGNED.get(call.function, 1), "target")
    return value


def squash_of(record: Record, loss: Call) -> Squash | None:
    """Return the bounded function that the logits of a loss over classes went through last; None when there is none.

    Args:
        record: The record.
        loss: The call of the loss function. For `nll_loss`, what the logarithm of the softmax was taken of are the logits.
    """
    if loss.function not in OVER_CLASSES:
        return None
    taker = loss
    call = origin(input_of(loss))
    if loss.function == "nll_loss" and call is not None and call.function == "log_softmax":
        taker = call
        call = origin(taker.inputs[0])
    if call is None or call.function not in _SQUASHING or layer_of(origin(call.inputs[0], _BETWEEN)) is None:
        return None
    handed_on = {value.call.number for value in chain(taker.inputs[0]) if value.call is not None} | {call.number}
    takers = {each.number for number in handed_on for each in record.taken_by[number]} - handed_on - {taker.number}
    return Squash(call, bool(takers & record.trained))


def is_data(value: Value, record: Record) -> bool:
    """Return whether a value is made of numbers of the batch alone: no parameter and no gradient has had a part in it."""
    made_of = record.made_of(value)
    return bool(made_of.batch) and not made_of.has_numbers and not value.requires_grad


def is_made(value: Value, record: Record) -> bool:
    """Return whether the model has made a value: a gradient flows to it, or it was computed from parameters."""
    return value.requires_grad or record.made_of(value).has_parameter


def goals(record: Record) -> Mapping[str, int]:
    """Return the tensors of the batch that targets without any part of the model are made of, by function; see `MadeOf.batch`."""
    table: dict[str, int] = {}
    for call in record.calls:
        if isinstance(call.fact, LossFact) and is_data(target := target_of(call), record):
            table[call.function] = table.get(call.function, 0) | record.made_of(target).batch
    return table


def is_given(target: Value, source: Value, record: Record) -> bool:
    """Return whether the input of a loss was made from the very tensor of the batch that its target is made from."""
    return source.call is not None and bool(record.made_of(source).batch & record.made_of(target).batch)


def is_per_sample(target: Value, source: Value, record: Record) -> bool:
    """Return whether logits have one row for each sample, and the target is one number of the batch for each.

    Logits that are made of integers other than pixels do not count: tokens may be padding, whole sequences may be laid end to end.
    """
    size, root = record.batch_size, first(target)
    is_one_each = root.label.startswith("batch") and prod(root.shape) == size
    if len(source.shape) != 2 or target.shape != (size,) or not is_one_each:
        return False
    places = record.made_of(source).batch
    given = [value for i, value in enumerate(record.batch) if places >> i & 1]
    return bool(given) and all(value.is_floating or value.dtype == "uint8" for value in given)
