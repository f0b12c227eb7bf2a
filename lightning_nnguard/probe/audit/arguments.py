"""What the input and the target of a loss function are made of."""

from __future__ import annotations

from typing import NamedTuple

from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import NOISE, PASSING, ancestors, chain, first, origin, roots
from lightning_nnguard.probe.audit.layers import layer_of
from lightning_nnguard.probe.audit.losses import OVER_CLASSES, SIGNED
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
    made_of = list(roots(value))
    is_pure = all(root in record.batch or not (root.is_floating or root.is_parameter) for root in made_of)
    return not value.requires_grad and is_pure and any(root in record.batch for root in made_of)


def is_mirrored(record: Record, loss: Call) -> bool:
    """Return whether another call of the same loss function has as its target what a loss's input is made of.

    So it is in symmetric cross-entropies and divergences.
    """
    others = [call for call in record.calls if call.function == loss.function and call is not loss and call.fact is not None]
    targets = [target for call in others if is_data(target := target_of(call), record)]
    goals = [root for target in targets for root in roots(target) if root in record.batch]
    return bool(goals) and any(root in goals for root in roots(input_of(loss)))


def is_given(target: Value, source: Value, record: Record) -> bool:
    """Return whether the input of a loss was made from the very tensor of the batch that its target is made from."""
    goals = [root for root in roots(target) if root in record.batch]
    given = {id(each) for call in ancestors(source) for each in call.inputs}
    return any(id(first(each)) in given for each in goals)
