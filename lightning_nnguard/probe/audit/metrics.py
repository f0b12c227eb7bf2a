"""Metrics that users compute by hand: comparisons of predictions with labels, and their averages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import PASSING, roots
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.tolerant import tolerant

EQUALITIES = frozenset({"eq", "ne"})
COMPARISONS = EQUALITIES | {"lt", "gt", "le", "ge", "less", "greater", "less_equal", "greater_equal", "not_equal"}
_AVERAGES = frozenset({"mean", "sum", "count_nonzero"})
#: Between a comparison and its average.
_CASTS = PASSING | {"long", "int", "short", "logical_not", "bitwise_not", "invert", "rsub"}


class Sides(NamedTuple):
    """The two sides of a comparison.

    Attributes:
        prediction: What the model has made.
        label: What the batch holds, and the model has no part in.
    """

    prediction: Value
    label: Value


@dataclass(frozen=True, kw_only=True)
class SideFact:
    """Numbers of one side of an equality.

    Attributes:
        num_values: Its values.
        fractional: Share of them that are no whole numbers; 0 for integers.
        low: The smallest.
        high: The largest.
    """

    num_values: int
    fractional: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class EqualityFact:
    """Numbers of an equality of two tensors.

    Attributes:
        num_pairs: Pairs that were compared.
        num_equal: Those that were equal.
        sides: Numbers of the two, in their order.
    """

    num_pairs: int
    num_equal: int
    sides: tuple[SideFact, SideFact]


def sides(record: Record, call: Call) -> Sides | None:
    """Return which side of a comparison is the prediction, and which the label; None when it does not compare such two."""
    if len(call.inputs) != 2:
        return None
    one, other = call.inputs
    if _is_made(one) == _is_made(other):
        return None
    found = Sides(one, other) if _is_made(one) else Sides(other, one)
    batch = {id(value) for value in record.batch}
    return found if any(id(root) in batch for root in roots(found.label)) else None


def _is_made(value: Value) -> bool:
    """Return whether the model has a part in a value: a gradient flows through it, or it was computed from parameters."""
    return value.requires_grad or any(root.is_parameter for root in roots(value))


def is_averaged(record: Record, call: Call) -> bool:
    """Return whether all that a comparison has made is averaged or added up as it is, casts apart."""
    waiting, seen = [call], {call.number}
    for maker in waiting:
        for taker in record.taken_by[maker.number]:
            if taker.function in _AVERAGES and _is_over_all(taker):
                return True
            if taker.function in _CASTS and taker.number not in seen:
                seen.add(taker.number)
                waiting.append(taker)
    return False


def _is_over_all(call: Call) -> bool:
    dim = call.argument(1, "dim")
    return not isinstance(dim, int | tuple) or isinstance(dim, bool) or len(call.inputs[0].shape) <= 1


@tolerant
def measure(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> EqualityFact | None:
    """Measure an equality of two tensors of real numbers; None for others, and when one holds NaN or infinity.

    Args:
        name: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    operands = (*args, *kwargs.values())[:2]
    if len(operands) != 2 or not isinstance(result, Tensor) or result.dtype != torch.bool:
        return None
    if not all(isinstance(each, Tensor) and each.numel() > 1 and not each.is_complex() for each in operands):
        return None
    one, other = map(_side, operands)
    if one is None or other is None:
        return None
    num_pairs, num_true = result.numel(), int(result.count_nonzero())
    return EqualityFact(num_pairs=num_pairs, num_equal=num_true if name == "eq" else num_pairs - num_true, sides=(one, other))


def _side(values: Tensor) -> SideFact | None:
    values = values.detach()
    low, high = (float(each) for each in values.float().aminmax())
    if not (isfinite(low) and isfinite(high)):
        return None
    fractional = float((values != values.trunc()).float().mean()) if values.is_floating_point() else 0.0
    return SideFact(num_values=values.numel(), fractional=fractional, low=low, high=high)
