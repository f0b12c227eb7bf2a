"""Training against validation."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import GapSeen
from lightning_nnguard.panels.chart import Chart, ScalarChart


def validation_gap(seen: Sequence[GapSeen]) -> list[Chart]:
    """Return the newest value of each metric on both data sets, and how much worse validation is.

    Logged scalars:
        nnguard/gap/<metric>/train, /validation: newest values.
        nnguard/gap/<metric>/gap: their difference; positive when validation is worse, whatever direction is better.
    """
    charts: list[Chart] = []
    for each in seen:
        if not each.train or not each.validation:
            continue
        train, validation = each.train[-1], each.validation[-1]
        gap = validation - train if each.mode == "min" else train - validation
        values = {"train": train, "validation": validation, "gap": gap}
        for name, value in values.items():
            charts.append(ScalarChart(tag=f"nnguard/gap/{each.where}/{name}", step=each.step, value=value))
    return charts
