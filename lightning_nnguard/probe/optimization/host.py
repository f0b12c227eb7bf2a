"""The base of collectors that make their observations from what other collectors and the optimizers' settings say."""

from __future__ import annotations

import torch
from torch import Tensor


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
