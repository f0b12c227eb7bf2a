"""Which scalars belong together in TensorBoard's Custom Scalars tab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lightning_nnguard.panels.chart import LayoutChart


def layout(metrics: Sequence[str]) -> LayoutChart:
    """Return the layout of the summary scalars, few lines a chart because that tab paints all lines of a run alike.

    Args:
        metrics: Common names of the metrics that have a training and a validation value.
    """

    def tags(statistic: str, *names: str) -> tuple[str, ...]:
        return tuple(f"nnguard/{statistic}/{name}" for name in names)

    charts: dict[str, tuple[Literal["multiline", "margin"], tuple[str, ...]]] = {
        "update ratio (margin)": ("margin", tags("update_ratio", "median", "min", "max")),
        "update ratio against 1e-3": ("multiline", tags("update_ratio", "median", "target")),
        "dead units": ("multiline", tags("dead_units", "max", "mean")),
        "activation rms (margin)": ("margin", tags("activation_rms", "median", "min", "max")),
        "loss against chance": ("multiline", tags("loss", "smoothed", "chance")),
    }
    charts.update({f"gap: {metric}": ("multiline", tags(f"gap/{metric}", "train", "validation")) for metric in metrics})
    return LayoutChart(charts=charts)
