"""Collector of batches that are the same on all ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_nnguard.observation import RankDataSeen, Seen
from lightning_nnguard.probe.agreement.pieces import SIZE, common, pieces
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.samples.digests import digest_batch

#: Sampled steps that are looked back on.
_KEPT = 100
#: Numbers of a sample below which it may be a mere counter or seed, from which each rank makes data of its own.
_MIN_NUMBERS = 4


class RankDataCollector:
    """Compares the digests of the ranks' batches; see `Collector`.

    Args:
        device: Where packed numbers live.
        world_size: Ranks.
    """

    def __init__(self, device: torch.device, world_size: int) -> None:
        self._device, self._world_size = device, world_size
        self._nothing = torch.zeros(0, dtype=torch.float32, device=device)
        self._digest: Tensor | None = None
        self._in_a_row: list[int] = []

    def start_batch(self, batch: object) -> None:
        """Take the batch of a sampled step."""
        numbers = sum(each[0].numel() for _, each in tensors_in(batch) if each.dim() and len(each))
        found = digest_batch(batch, self._device) if numbers >= _MIN_NUMBERS else None
        self._digest = None if found is None else found.digests[0]

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, SIZE + 1

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return the digest, and whether there is none."""
        digest, self._digest = self._digest, None
        if digest is None:
            return self._nothing, torch.tensor([0.0] * SIZE + [1.0], dtype=torch.float32, device=self._device)
        return self._nothing, torch.cat([pieces(digest.to(self._device)), torch.zeros(1, device=self._device)])

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return for how long all ranks have had the same batches."""
        word = common(maxima) if maxima[SIZE] <= 0 else None
        if word is None:
            self._in_a_row.clear()
            return ()
        self._in_a_row = [*self._in_a_row, word][-_KEPT:]
        return [
            RankDataSeen(
                step=at.step, epoch=at.epoch, num_steps=len(self._in_a_row), num_different=len(set(self._in_a_row)),
                world_size=self._world_size,
            )
        ]  # fmt: skip
