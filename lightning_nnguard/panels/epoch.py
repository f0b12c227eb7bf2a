"""Which epoch a step belongs to, on the same axis as everything else."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import LossSeen
from lightning_nnguard.panels.chart import Chart, ScalarChart


def epoch(seen: Sequence[LossSeen]) -> list[Chart]:
    """Return the epoch of a sampled step.

    Logged scalars:
        nnguard/epoch: epoch.
    """
    return [ScalarChart(tag="nnguard/epoch", step=each.step, value=float(each.epoch)) for each in seen]
