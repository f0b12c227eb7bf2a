"""Operands that are stretched to each other's shape on the way to the loss, or to a metric."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import BroadcastSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import chain, roots
from lightning_nnguard.probe.audit.losses import ELEMENTWISE
from lightning_nnguard.probe.audit.metrics import COMPARISONS, is_averaged, sides
from lightning_nnguard.probe.audit.record import Record

_ARITHMETIC = frozenset({"add", "sub", "rsub", "mul", "div", "rdiv"})
#: A choice keeps its dimension for the sake of the shape, not of all pairs.
_CHOOSING = frozenset({"argmax", "argmin", "max", "min", "topk"})
_REDUCING = frozenset({"sum", "mean", "amax", "amin", "norm", "logsumexp", "prod", "std", "var"})


def broadcasts(record: Record) -> Sequence[BroadcastSeen]:
    """Return one observation for each call on the way to a trained loss in which (N, 1, ...) meets (N, ...).

    In all loops, one for each comparison of predictions with labels, too, when (N, 1) meets (N,) and all pairs are averaged.
    """
    found = []
    for call in record.calls:
        if len(call.inputs) < 2:
            continue
        long, short = sorted(call.inputs[:2], key=lambda value: len(value.shape), reverse=True)
        if not _pairs(long.shape, short.shape):
            continue
        is_metric = call.function in COMPARISONS and len(short.shape) == 1
        if is_metric and sides(record, call) is not None and is_averaged(record, call):
            found.append(_seen(record, call, long, short, is_metric=True))
        elif call.number in record.trained and call.function in _ARITHMETIC | ELEMENTWISE:
            found.append(_seen(record, call, long, short))
    return found


def _seen(record: Record, call: Call, long: Value, short: Value, *, is_metric: bool = False) -> BroadcastSeen:
    batch = {id(value) for value in record.batch}
    return BroadcastSeen(
        where=call.where, step=record.at.step, epoch=record.at.epoch, function=call.function, source=call.source,
        long_shape=long.shape, short_shape=short.shape, batch_size=record.batch_size, is_loss=call.function in ELEMENTWISE,
        is_asked_for=_is_asked_for(long, apart_from=_CHOOSING if is_metric else frozenset()),
        num_from_batch=sum(any(id(root) in batch for root in roots(each)) for each in (long, short)),
        num_with_grad=long.requires_grad + short.requires_grad, stage=record.stage, is_metric=is_metric,
    )  # fmt: skip


def _pairs(long: tuple[int, ...], short: tuple[int, ...]) -> bool:
    """Return whether (N, 1, ...) meets (N, ...), N > 1: the result has the shape (N, N, ...)."""
    return len(long) == len(short) + 1 > 1 and long[1] == 1 < long[0] and (long[0], *long[2:]) == short


def _is_asked_for(value: Value, *, apart_from: frozenset[str]) -> bool:
    """Return whether a dimension of size 1 was put into a value on purpose: `unsqueeze`, an index of None, or `keepdim=True`.

    Args:
        value: The value.
        apart_from: Functions whose `keepdim=True` says nothing.
    """
    calls = [each.call for each in chain(value) if each.call is not None]
    return any(_inserts(call) for call in calls if call.function not in apart_from)


def _inserts(call: Call) -> bool:
    if call.function == "getitem":
        index = call.argument(1, "index")
        return index is None or (isinstance(index, tuple) and None in index)
    keeps = call.kwargs.get("keepdim") is True or (call.function in _REDUCING and any(each is True for each in call.args[2:]))
    return call.function == "unsqueeze" or keeps
