"""Histograms of gradients."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import HistogramSeen
from lightning_nnguard.panels.chart import Chart
from lightning_nnguard.panels.histogram import histogram


def gradient_histogram(seen: Sequence[HistogramSeen]) -> list[Chart]:
    """Return one histogram of each parameter's gradient, tagged "gradient/<parameter>"."""
    return [histogram(each) for each in seen if each.quantity == "gradient"]
