"""One observed histogram as a chart."""

from __future__ import annotations

from lightning_nnguard.observation import HistogramSeen
from lightning_nnguard.panels.chart import HistogramChart
from lightning_nnguard.panels.tag import layer_tag


def histogram(seen: HistogramSeen) -> HistogramChart:
    """Return the histogram of one place, tagged "<quantity>/<place>"."""
    return HistogramChart(
        tag=layer_tag(seen.quantity, seen.where),
        step=seen.step,
        upper_edges=seen.upper_edges,
        counts=seen.counts,
        low=seen.low,
        high=seen.high,
        total=seen.total,
        total_squares=seen.total_squares,
    )
