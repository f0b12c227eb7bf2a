"""How large the outputs of layers are."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import ActivationSeen
from lightning_nnguard.panels.chart import Chart
from lightning_nnguard.panels.spread import spread


def activation_summary(seen: Sequence[ActivationSeen]) -> list[Chart]:
    """Return the spread of output sizes over all watched layers.

    Logged scalars:
        nnguard/activation_rms/min, /median, /max: root mean square of each layer's output.
    """
    return spread("activation_rms", seen[0].step, [each.rms for each in seen]) if seen else []
