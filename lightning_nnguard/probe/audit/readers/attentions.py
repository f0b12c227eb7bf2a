"""Attention: how far its weights are spread over the keys."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import AttentionSeen
from lightning_nnguard.probe.audit.attention import AttentionFact
from lightning_nnguard.probe.audit.call import Call
from lightning_nnguard.probe.audit.graph import NOISE, PASSING, first
from lightning_nnguard.probe.audit.record import Record

_PRODUCTS = frozenset({"matmul", "bmm", "baddbmm", "einsum"})
#: Between softmax and the product with the values.
_BETWEEN = PASSING | NOISE | {"masked_fill", "nan_to_num", "where"}


def attentions(record: Record) -> Sequence[AttentionSeen]:
    """Return one observation for each measured attention."""
    measured = [(call, fact) for call in record.calls if (fact := call.fact_of(AttentionFact)) is not None]
    seen = [
        AttentionSeen(
            where=call.where, step=record.at.step, epoch=record.at.epoch, stage=record.stage, function=call.function,
            source=call.source, num_heads=fact.num_heads, num_rows=fact.num_rows, num_keys=fact.num_keys, entropy=fact.entropy,
            head_max=fact.head_max,
        )
        for call, fact in measured
        if call.function != "softmax" or _weighs_values(record, call)
    ]  # fmt: skip
    return list(dict.fromkeys(seen))


def _weighs_values(record: Record, call: Call) -> bool:
    """Return whether the result of a softmax is multiplied with something computed, not with a parameter such as a codebook."""
    waiting = [call]
    for maker in waiting:
        for taker in record.taken_by[maker.number]:
            if taker.function in _PRODUCTS:
                others = [first(value) for value in taker.inputs if value.call is not maker]
                if any(not other.is_parameter and other.shape for other in others):
                    return True
            elif taker.function in _BETWEEN:
                waiting.append(taker)
    return False
