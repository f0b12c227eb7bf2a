"""How many units of rectifiers never fire."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import DeadUnitsSeen
from lightning_nnguard.panels.chart import Chart, ScalarChart
from lightning_nnguard.panels.spread import evenly
from lightning_nnguard.panels.tag import layer_tag


def dead_units(seen: Sequence[DeadUnitsSeen]) -> list[Chart]:
    """Return the fraction of units that were not positive once, per rectifier and over all of them.

    Logged scalars:
        nnguard/dead_units/max, /mean: over the rectifiers, each counting once.
        dead_fraction/<layer>: each rectifier, or 20 evenly spaced over the model when there are more.
    """
    fractions = {each.where: each.num_dead / each.num_units for each in seen if each.num_units}
    if not fractions:
        return []
    step, shown = seen[0].step, evenly([*fractions.items()])
    return [
        ScalarChart(tag="nnguard/dead_units/max", step=step, value=max(fractions.values())),
        ScalarChart(tag="nnguard/dead_units/mean", step=step, value=sum(fractions.values()) / len(fractions)),
        *(ScalarChart(tag=layer_tag("dead_fraction", where), step=step, value=value) for where, value in shown),
    ]
