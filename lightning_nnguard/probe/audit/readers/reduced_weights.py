"""Weights of samples that come when the loss is one number already."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from lightning_nnguard.observation import ReducedWeightsSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import PASSING, roots
from lightning_nnguard.probe.audit.losses import LOSSES, LossFact
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.weights import WeightFact

_REDUCING = frozenset({"mean", "sum", "nanmean", "nansum"})
#: Between the product and its reduction: what leaves it a weighted number for each sample.
_LINEAR = PASSING | {"add", "sub", "rsub", "neg", "mul", "div"}


def reduced_weights(record: Record) -> Sequence[ReducedWeightsSeen]:
    """Return one observation for each product of a reduced loss and weights of samples that is reduced itself afterwards."""
    return [each for call in record.calls if (each := _seen(record, call)) is not None]


def _seen(record: Record, call: Call) -> ReducedWeightsSeen | None:
    fact = call.fact
    if not isinstance(fact, WeightFact):
        return None
    number, weights = sorted(call.inputs, key=lambda value: len(value.shape))
    found = _loss(number)
    if found is None:
        return None
    loss, measured, reduction = found
    num_weights = prod(weights.shape)
    if num_weights not in (record.batch_size, measured.num_targets, measured.num_rows):
        return None
    if not any(root in record.batch for root in roots(weights)) or not _is_reduced(record, call):
        return None
    return ReducedWeightsSeen(
        where=call.where, step=record.at.step, epoch=record.at.epoch, source=call.source, function=loss.function,
        loss_source=loss.source, reduction=reduction, num_targets=measured.num_targets, num_weights=num_weights,
        weight_min=fact.low, weight_max=fact.high,
    )  # fmt: skip


def _loss(value: Value) -> tuple[Call, LossFact, str] | None:
    """Return the loss function whose result a number is made of, what was measured of it, and how it was reduced; the nearest one.

    What is between are single numbers all the way.
    """
    waiting = [(value, "")]
    while waiting:
        value, reduced_by = waiting.pop(0)
        call = value.call
        if call is None or not value.requires_grad or (value.shape and not reduced_by):
            continue
        if call.function in LOSSES and isinstance(call.fact, LossFact):
            return call, call.fact, reduced_by if value.shape else call.fact.reduction
        if not value.shape:
            by = call.function if call.function in _REDUCING else ""
            waiting += [(each, by) for each in call.inputs]
    return None


def _is_reduced(record: Record, call: Call) -> bool:
    """Return whether a mean or a sum is all that becomes of a product in the trained loss, in whatever linear way."""
    waiting, is_reduced = [call], False
    for maker in waiting:
        for taker in record.taken_by[maker.number]:
            if taker.number not in record.trained:
                continue
            if taker.function in _REDUCING:
                is_reduced = True
            elif taker.function in _LINEAR and _is_linear(taker, maker):
                waiting.append(taker)
            else:
                return False
    return is_reduced


def _is_linear(call: Call, maker: Call) -> bool:
    """Return whether a call is linear in what another call has made."""
    others = [value for value in call.inputs if value.call is not maker]
    if call.function == "div" and call.inputs[0].call is not maker:
        return False
    return call.function not in {"mul", "div"} or not any(value.requires_grad for value in others)
