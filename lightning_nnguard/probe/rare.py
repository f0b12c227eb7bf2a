"""Collectors whose observations are rare: a number says that there are some, and only then ranks talk in words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_nnguard.observation import Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.merge import merged
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.ranks import Ranks


class RareCollector(ABC):
    """A collector that mostly has nothing to say; see `Collector`.

    Args:
        ranks: The processes that train together.
        device: Where the packed numbers live.
    """

    def __init__(self, *, ranks: Ranks, device: torch.device) -> None:
        self._ranks, self._device = ranks, device

    @property
    @abstractmethod
    def has_words(self) -> bool:
        """Whether this rank has something to say of this sampled step; asked before anything is read from the device."""

    @abstractmethod
    def words(self, at: At) -> Sequence[Seen]:
        """Return what this rank has to say; it may be asked though it had nothing."""

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 1

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return whether this rank has something to say."""
        flag = torch.full((1,), float(self.has_words), dtype=torch.float32, device=self._device)
        return torch.zeros(0, dtype=torch.float32, device=self._device), flag

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return what all ranks have to say, when any has something."""
        if maxima[0] <= 0:
            return ()
        own: Sequence[Seen] = ()
        by_rank: Sequence[Sequence[Seen]] = ()
        try:
            own = self.words(at)
        finally:  # the other ranks wait for this one's words, whatever went wrong with them
            by_rank = self._ranks.gather(list(own))
        return merged(by_rank)
