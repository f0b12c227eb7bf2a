"""Moments of many layers at once, from their samples: sums that add up over steps and ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: Columns of a row of sums: elements, sum, sum of squares, exact zeros, elements near the bounds.
WIDTH = 5
#: Larger elements count as this much: the squares of 2048 of them still add up in float32, over a hundred thousand ranks.
LARGEST = 1e15


def moment_sums(samples: Tensor, counts: Tensor, low_bound: Tensor | None = None, high_bound: Tensor | None = None) -> Tensor:
    """Return one row of sums per layer.

    Args:
        samples: shape (layers, width), float32; each row's first `counts` elements are valid, the rest is 0.
        counts: shape (layers,), float32.
        low_bound: shape (layers,), float32; elements below it count as saturated; None for no bounds.
        high_bound: shape (layers,), float32; elements above it count as saturated; None for no bounds.

    Returns:
        shape (layers, WIDTH), float32: elements, sum, sum of squares, zeros, saturated. Rows add up over steps and ranks.
        Elements beyond `LARGEST` enter the sums as that.
    """
    zeros = counts - samples.bool().sum(1)  # padding is 0, too
    if low_bound is None or high_bound is None:
        outside = torch.zeros_like(counts)
    else:
        # Padding is outside the bounds only where 0 is (sigmoid's lower bound lies above 0).
        padding = samples.shape[1] - counts
        outside = ((samples < low_bound[:, None]) | (samples > high_bound[:, None])).sum(1)
        outside = outside - padding * ((low_bound > 0) | (high_bound < 0))
    bounded = samples.clamp(-LARGEST, LARGEST)  # finite numbers have finite moments; NaN stays NaN
    squares = torch.linalg.vecdot(bounded, bounded)
    return torch.stack([counts, bounded.sum(1), squares, zeros, outside], dim=1)


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Moments of one layer's elements.

    Attributes:
        num_values: Elements.
        mean: Mean.
        std: Standard deviation (population).
        rms: Root mean square.
        zero_fraction: Share of exact zeros.
        outside_fraction: Share outside the bounds.
    """

    num_values: int
    mean: float
    std: float
    rms: float
    zero_fraction: float
    outside_fraction: float


def moments(row: list[float]) -> Moments:
    """Return the moments that a (merged) row of sums stands for; the row must count at least one element."""
    count, total, squares, zeros, outside = row
    mean, mean_square = total / count, squares / count
    spread = mean_square - mean * mean
    return Moments(
        num_values=round(count),
        mean=mean,
        std=math.sqrt(max(spread, 0.0)) if not math.isnan(spread) else math.nan,
        rms=math.sqrt(mean_square),
        zero_fraction=zeros / count,
        outside_fraction=outside / count,
    )
