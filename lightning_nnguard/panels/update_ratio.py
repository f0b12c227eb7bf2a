"""How large updates are relative to their weights."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import UpdateSeen
from lightning_nnguard.panels.chart import Chart, ScalarChart
from lightning_nnguard.panels.spread import evenly, spread
from lightning_nnguard.panels.tag import layer_tag

TARGET = 1e-3


def update_ratio(seen: Sequence[UpdateSeen]) -> list[Chart]:
    """Return norm(update) / norm(weight) of the weight matrices, with the rule of thumb 1e-3 as a line to compare with.

    Logged scalars:
        nnguard/update_ratio/min, /median, /max: over all weight matrices that were not all zero when training began.
        nnguard/update_ratio/target: 1e-3 (Stanford CS231n, "Ratio of weights:updates").
        update_ratio/<parameter>: each of them, or 20 evenly spaced over the model when there are more.
    """
    weights = [each for each in seen if each.kind == "weight" and each.num_dims >= 2 and not each.zero_initialised]
    if not weights:
        return []
    step = weights[0].step
    return [
        *spread("update_ratio", step, [each.ratio for each in weights]),
        ScalarChart(tag="nnguard/update_ratio/target", step=step, value=TARGET),
        *(ScalarChart(tag=layer_tag("update_ratio", each.where), step=each.step, value=each.ratio) for each in evenly(weights)),
    ]
