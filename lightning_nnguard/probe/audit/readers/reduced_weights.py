"""Weights of samples that come when the loss is one number already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod

from lightning_nnguard.observation import ReducedWeightsSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import PASSING
from lightning_nnguard.probe.audit.losses import LOSSES, LossFact
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.weights import WeightFact

_REDUCING = frozenset({"mean", "sum", "nanmean", "nansum"})
#: Between the product and its reduction: what leaves it a weighted number for each sample.
_LINEAR = PASSING | {"add", "sub", "rsub", "neg", "mul", "div"}


def reduced_weights(record: Record) -> Sequence[ReducedWeightsSeen]:
    """Return one observation for each product of a reduced loss and weights of samples that is reduced itself afterwards."""
    facts = [call.fact for call in record.calls if isinstance(call.fact, LossFact)]
    sizes = {size for fact in facts for size in (record.batch_size, fact.num_targets, fact.num_rows)}
    return [each for call in record.calls if (each := _seen(record, call, sizes)) is not None]


def _seen(record: Record, call: Call, sizes: Collection[int | None]) -> ReducedWeightsSeen | None:
    """Return what is seen of a product; None for others.

    Args:
        record: The record.
        call: Any call.
        sizes: Numbers of weights that some loss function has a use for.
    """
    fact = call.fact
    if not isinstance(fact, WeightFact):
        return None
    number, weights = sorted(call.inputs, key=lambda value: len(value.shape))
    num_weights = prod(weights.shape)
    if num_weights not in sizes or not record.made_of(weights).batch:
        return None
    found = _loss(number)
    if found is None:
        return None
    loss, measured, reduction = found
    if num_weights not in (record.batch_size, measured.num_targets, measured.num_rows) or not _is_reduced(record, call):
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
    waiting, seen = [(value, "")], set[tuple[int, str, bool]]()
    while waiting:
        value, reduced_by = waiting.pop(0)
        call = value.call
        if call is None or not value.requires_grad or (value.shape and not reduced_by):
            continue
        key = call.number, reduced_by, bool(value.shape)
        if key in seen:
            continue
        seen.add(key)
        if call.function in LOSSES and isinstance(call.fact, LossFact):
            return call, call.fact, reduced_by if value.shape else call.fact.reduction
        if not value.shape:
            by = call.function if call.function in _REDUCING else ""
            waiting += [(each, by) for each in call.inputs]
    return None


def _is_reduced(record: Record, call: Call) -> bool:
    """Return whether a mean or a sum is all that becomes of a product in the trained loss, in whatever linear way."""
    waiting, seen, is_reduced = [call], {call.number}, False
    for maker in waiting:
        for taker in record.taken_by[maker.number]:
            if taker.number not in record.trained:
                continue
            if taker.function in _REDUCING:
                is_reduced = True
            elif taker.function not in _LINEAR or not _is_linear(taker, maker):
                return False
            elif taker.number not in seen:
                seen.add(taker.number)
                waiting.append(taker)
    return is_reduced


def _is_linear(call: Call, maker: Call) -> bool:
    """Return whether a call is linear in what another call has made."""
    others = [value for value in call.inputs if value.call is not maker]
    if call.function == "div" and call.inputs[0].call is not maker:
        return False
    return call.function not in {"mul", "div"} or not any(value.requires_grad for value in others)
