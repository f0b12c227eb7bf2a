"""The training loss, smoothed."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import LossSeen
from lightning_nnguard.panels.chart import Chart, ScalarChart


def loss(seen: Sequence[LossSeen]) -> list[Chart]:
    """Return the smoothed training loss beside the loss of a constant prediction.

    Logged scalars:
        nnguard/loss/smoothed: exponentially smoothed loss (decay 0.95, bias-corrected).
        nnguard/loss/chance: loss of a constant prediction, when it is known.
    """
    charts: list[Chart] = []
    for each in seen:
        charts.append(ScalarChart(tag="nnguard/loss/smoothed", step=each.step, value=each.smoothed))
        if each.chance is not None:
            charts.append(ScalarChart(tag="nnguard/loss/chance", step=each.step, value=each.chance))
    return charts
