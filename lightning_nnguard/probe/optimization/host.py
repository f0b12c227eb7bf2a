"""The base of collectors that make their observations from what other collectors and the optimizers' settings say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_nnguard.probe.gradients import GradientCollector
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.updates import UpdateCollector


class HostCollector:
    """A collector that packs nothing of its own; see `Collector`. What it observes must be the same on all ranks.

    Args:
        device: Where packed numbers live.
    """

    def __init__(self, device: torch.device) -> None:
        self._nothing = torch.zeros(0, dtype=torch.float32, device=device)

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 0

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return nothing."""
        return self._nothing, self._nothing


@dataclass(frozen=True, kw_only=True)
class StepSources:
    """What tells the norms of a step.

    Attributes:
        optimizers: Returns the run's optimizers.
        parameters: The model's parameters.
        gradients: Measures the gradients; observed before who asks here.
        updates: Measures weights and updates; observed before who asks here.
    """

    optimizers: Callable[[], Sequence[Optimizer]]
    parameters: Parameters
    gradients: GradientCollector
    updates: UpdateCollector
