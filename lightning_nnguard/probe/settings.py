"""What the probe may do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lightning_nnguard.observation import Seen


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """What the probe may do.

    Attributes:
        wanted: Kinds of observation that rules and panels ask for.
        every_n_steps: Length of the sampling window in steps.
        budget: Largest share of the run's time, 0 to 1; None for no limit.
        sync: Whether an accelerator is waited for, to find non-finite values before the weights are spoilt.
        snapshot_bytes: Byte budget of the parameter copies; None for the default.
        activation_histograms: Layers with an activation histogram.
        gradient_histograms: Parameters with a gradient histogram.
        eager: Whether compiled code runs as it was written in sampled steps, to be seen.
        strict: Whether errors of the guard's own are raised.
    """

    wanted: Collection[type[Seen]]
    every_n_steps: int = 50
    budget: float | None = None
    sync: bool = False
    snapshot_bytes: int | None = None
    activation_histograms: int = 0
    gradient_histograms: int = 0
    eager: bool = False
    strict: bool = False
