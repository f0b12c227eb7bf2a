"""Collector of copies of parameters that should be equal on all ranks."""

from __future__ import annotations

from collections.abc import Sequence, Set

import torch
from torch import Tensor

from lightning_nnguard.observation import ReplicaSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.names import ParameterInfo
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.stats.norms import norms

#: Rows of a parameter that are compared: whatever moves ranks apart moves all of a parameter.
_ROWS = 4


class ReplicaCollector:
    """Compares norms of the first rows of each parameter; see `Collector`. Equal copies have equal norms, bit by bit.

    Args:
        parameters: The model's parameters.
        world_size: Ranks.
        own: Names of parameters that each rank keeps for itself.
    """

    def __init__(self, parameters: Parameters, world_size: int, own: Set[str] = frozenset()) -> None:
        self._device, self._world_size = parameters.device, world_size
        self._nothing = torch.zeros(0, dtype=torch.float32, device=parameters.device)
        self._infos = [info for info in parameters.infos if info.name not in own and _is_comparable(info)]

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 2 * len(self._infos)

    @torch.no_grad()
    def pack(self) -> tuple[Tensor, Tensor]:
        """Return the norms and their negatives, whose maxima are the largest and the smallest."""
        if not self._infos:
            return self._nothing, self._nothing
        found = torch.stack(norms([_part(info.tensor) for info in self._infos])).to(self._device)
        return self._nothing, torch.cat([found, -found])

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return the spread of each parameter over ranks."""
        largest, smallest = maxima[: len(self._infos)].tolist(), (-maxima[len(self._infos) :]).tolist()
        return [
            ReplicaSeen(
                where=info.name, step=at.step, epoch=at.epoch, smallest=low, largest=high,
                num_compared=_part(info.tensor).numel(), world_size=self._world_size,
            )
            for info, low, high in zip(self._infos, smallest, largest, strict=True)
            if low < high  # equal ones, that is all of them, say nothing
        ]  # fmt: skip


def _part(tensor: Tensor) -> Tensor:
    own = tensor.detach()
    return own[:_ROWS] if own.dim() else own


def _is_comparable(info: ParameterInfo) -> bool:
    """Return whether all ranks hold the parameter as a whole."""
    each = info.tensor
    return not info.is_sharded and each.layout is torch.strided and each.is_floating_point() and each.numel() > 0
