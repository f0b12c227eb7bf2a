"""The total gradient norm."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import GradientNormSeen
from lightning_nnguard.panels.chart import Chart, ScalarChart


def gradient_norm(seen: Sequence[GradientNormSeen]) -> list[Chart]:
    """Return the total gradient norm before clipping.

    Logged scalars:
        nnguard/gradient_norm: L2 norm over all parameters.
    """
    return [ScalarChart(tag="nnguard/gradient_norm", step=each.step, value=each.norms[-1]) for each in seen if each.norms]
