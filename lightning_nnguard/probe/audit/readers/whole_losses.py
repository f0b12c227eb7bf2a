"""Calls of loss functions that are all that a batch trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lightning_nnguard.observation import WholeLossSeen
from lightning_nnguard.probe.audit.arguments import is_made
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import PASSING, first, origin, roots
from lightning_nnguard.probe.audit.losses import LOSSES, LossFact
from lightning_nnguard.probe.audit.objective import Objective
from lightning_nnguard.probe.audit.record import Record

_KEEPING = PASSING | {"mean", "sum", "nanmean", "nansum"}
#: What picks the log-probabilities of the targets by hand, and what that is called.
_PICKING = frozenset({"gather", "take_along_dim", "getitem"})
LIKELIHOOD = "negative log-likelihood"


class _Way(NamedTuple):
    """From a trained loss back to the call of the loss function that it is made of."""

    call: Call
    sign: int
    has_constant: bool
    turned: Call | None


def whole_losses(record: Record) -> Sequence[WholeLossSeen]:
    """Return one observation for each backward pass whose loss is the result of one loss function, up to scalar arithmetic."""
    ways = [(objective, _way(objective.value, record)) for objective in record.objectives]
    return [_seen(record, objective, way) for objective, way in ways if way is not None]


def _seen(record: Record, objective: Objective, way: _Way) -> WholeLossSeen:
    call, fact = way.call, way.call.fact
    if isinstance(fact, LossFact):
        function, value, input_max = call.function, fact.value, fact.input_max
        is_target_made = is_made(call.argument(1, "target"), record)
    else:
        known = None if way.has_constant or objective.number is None else abs(objective.number)
        function, value, input_max, is_target_made = LIKELIHOOD, known, 0.0, False
    parameters = [root for root in roots(objective.value) if root.is_parameter]
    return WholeLossSeen(
        where=call.where, step=record.at.step, epoch=record.at.epoch, function=function, source=call.source, value=value,
        input_max=input_max, trained_value=objective.number, sign=way.sign, has_constant=way.has_constant,
        turned_source=way.turned.source if way.turned else None, is_manual=record.manual, is_maximized=record.is_maximized,
        is_target_made=is_target_made, has_frozen=any(not each.requires_grad for each in parameters),
    )  # fmt: skip


def _way(value: Value, record: Record) -> _Way | None:
    """Return the way from a trained loss to a loss function; None when anything else goes in that is not a scalar or a constant."""
    sign, has_constant, turned = 1, False, None
    while (call := value.call) is not None and value.requires_grad:
        if isinstance(call.fact, LossFact) and call.function in LOSSES:
            return _Way(call, sign, has_constant, turned)
        if _picks_likelihoods(call, record):
            return _Way(call, -sign, has_constant, turned)
        step = _step(call)
        if step is None:
            return None
        value, factor, adds = step
        has_constant = has_constant or adds
        if factor < 0:
            sign, turned = -sign, turned or call
    return None


def _picks_likelihoods(call: Call, record: Record) -> bool:
    """Return whether a call picks log-probabilities by integers of the batch."""
    if call.function not in _PICKING or not call.inputs:
        return False
    maker = origin(call.inputs[0])
    indices = [each for each in call.inputs[1:] if not each.is_floating and each.shape]
    return maker is not None and maker.function == "log_softmax" and any(first(each) in record.batch for each in indices)


def _step(call: Call) -> tuple[Value, int, bool] | None:
    """Return the one input with a gradient, the sign that a call gives it, and whether it adds a constant; None for other calls.

    A scalar tensor as a factor, such as the scale of a gradient scaler, counts as positive: the values tell when it is not. Of
    negative numbers only -1 counts: an advantage in reinforcement learning may be another.
    """
    trained = [each for each in call.inputs if each.requires_grad]
    if len(trained) != 1 or call.kwargs.get("alpha", 1) != 1:
        return None
    (value,) = trained
    name, others = call.function, [each for each in call.args[:2] if each is not value]
    other = others[0] if len(others) == 1 else None
    if name in _KEEPING:
        return value, 1, False
    if name == "neg":
        return value, -1, False
    if name == "mul" or (name == "div" and call.args[0] is value):
        factor = _factor(other)
        return None if factor is None else (value, factor, False)
    if name in {"add", "sub", "rsub"} and len(others) == 1:
        turns = name == "rsub" if call.args[0] is value else name == "sub"
        return value, -1 if turns else 1, other != 0
    return None


def _factor(other: object) -> int | None:
    if isinstance(other, Value):
        return 1 if all(size == 1 for size in other.shape) else None
    if isinstance(other, int | float) and (other > 0 or other == -1):
        return 1 if other > 0 else -1
    return None
