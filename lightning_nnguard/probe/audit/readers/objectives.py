"""The losses that backward passes start from."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import ObjectiveSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import ancestors, chain, cuts
from lightning_nnguard.probe.audit.objective import Objective
from lightning_nnguard.probe.audit.record import Record

_DETACHING = frozenset({"detach", "data"})


def objectives(record: Record) -> Sequence[ObjectiveSeen]:
    """Return one observation for each backward pass."""
    return [_seen(record, each) for each in record.objectives]


def _seen(record: Record, objective: Objective) -> ObjectiveSeen:
    value = objective.value
    cut = _cut(record, value) if objective.trains == "nothing" else None
    return ObjectiveSeen(
        step=record.at.step, epoch=record.at.epoch, value=objective.number, requires_grad=value.requires_grad,
        trains=objective.trains, num_trainable=record.num_trainable, num_gradients=objective.num_gradients,
        num_calls=sum(1 for _ in ancestors(value)), cut_source=cut.source if cut else None,
        cut_function=cut.function if cut else "", cut_without_grad=cut is not None and not cut.grad_enabled,
    )  # fmt: skip


def _cut(record: Record, loss: Value) -> Call | None:
    """Return the call that took a loss out of the graph.

    It is the nearest one on the way to the loss. Calls with gradients switched off, such as those of a teacher, come second. When
    the loss was made of plain numbers, or by something that is not recorded, it is the last call that has taken a computed tensor
    out of the graph.
    """
    cutting = list(cuts(loss))
    leaving = [call for call in record.calls if call.is_end or call.function in _DETACHING]
    ends = [call for call in leaving if call.source is not None and _was_computed(call)]
    return next((each for each in cutting if each.grad_enabled), None) or next(iter(cutting), None) or next(reversed(ends), None)


def _was_computed(call: Call) -> bool:
    """Return whether a gradient flowed through an input of a call, and the input is no parameter or another start of the graph."""
    return any(value.requires_grad and not value.is_leaf for each in call.inputs for value in chain(each))
