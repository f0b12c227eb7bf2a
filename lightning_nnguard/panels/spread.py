"""Few lines for many layers: a summary over all of them, and some of them evenly over the model."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TypeVar

from lightning_nnguard.panels.chart import Chart, ScalarChart

MAX_LINES = 20

ItemT = TypeVar("ItemT")


def spread(statistic: str, step: int, values: Sequence[float]) -> list[Chart]:
    """Return smallest, median and largest of `values` (not empty) as scalars "nnguard/<statistic>/min" and so on."""
    summary = {"min": min(values), "median": median(values), "max": max(values)}
    return [ScalarChart(tag=f"nnguard/{statistic}/{name}", step=step, value=value) for name, value in summary.items()]


def evenly(items: Sequence[ItemT], limit: int = MAX_LINES) -> list[ItemT]:
    """Return at most `limit` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    return [items[round(index * (len(items) - 1) / (limit - 1))] for index in range(limit)]
