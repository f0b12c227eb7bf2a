"""What is measured of weights that a single number is multiplied by, at the time of the product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from torch import Tensor

from lightning_nnguard.probe.audit.tolerant import tolerant


@dataclass(frozen=True, kw_only=True)
class WeightFact:
    """The weights in a product of a number with a gradient and a tensor without one; both numbers are finite.

    Attributes:
        low: Smallest weight.
        high: Largest weight.
    """

    low: float
    high: float


@tolerant
def measure(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> WeightFact | None:
    """Measure a product; None when it is none of a number with a gradient and several others without.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    factors = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
    if len(factors) != 2:
        return None
    number, weights = sorted(factors, key=Tensor.dim)
    if number.dim() or not number.requires_grad or weights.numel() < 2 or weights.requires_grad or weights.is_complex():
        return None
    low, high = (float(each) for each in weights.detach().float().aminmax())
    return WeightFact(low=low, high=high) if isfinite(low) and isfinite(high) else None
