"""From merged bin counts to histogram observations."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lightning_nnguard.observation import HistogramSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.stats.histogram import upper_edges


def spread(total: int, most: int) -> list[int]:
    """Return at most `most` of the indices below `total`, evenly spread, first and last included."""
    if total <= most:
        return list(range(total))
    if most <= 1:
        return [0][:most]
    return [round(i * (total - 1) / (most - 1)) for i in range(most)]


def histogram_seen(
    quantity: Literal["activation", "gradient"],
    where: str,
    counts: Numbers,
    *,
    low: float,
    high: float,
    total: float,
    total_squares: float,
    at: At,
) -> HistogramSeen | None:
    """Return the histogram of one layer, cut to the bins that hold something; None when none does."""
    filled = np.flatnonzero(counts > 0)
    if not len(filled):
        return None
    bins = slice(max(filled[0] - 1, 0), filled[-1] + 1)
    return HistogramSeen(
        where=where,
        step=at.step,
        epoch=at.epoch,
        quantity=quantity,
        upper_edges=tuple(upper_edges()[bins].tolist()),
        counts=tuple(counts[bins].tolist()),
        low=low,
        high=high,
        total=total,
        total_squares=total_squares,
    )
