"""Merging over ranks: one sum and one maximum of one packed tensor each, whatever the number of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The processes that train together.

    Attributes:
        rank: This process.
        world_size: Number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """Return the ranks of the default process group, or a single one when there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(rank=dist.get_rank(), world_size=dist.get_world_size())
        return cls()

    @property
    def code(self) -> float:
        """What this rank puts into a maximum to say "I saw it": the lowest rank wins, 0 says nobody."""
        return float(self.world_size - self.rank)

    def decode(self, code: float) -> int | None:
        """Return the lowest rank that said "I saw it"; None on a single process or when nobody did."""
        return None if code <= 0 or self.world_size == 1 else self.world_size - round(code)

    def merge(self, sums: Tensor, maxima: Tensor) -> None:
        """Merge two packed tensors over all ranks, in place. Every rank must call this with the same shapes."""
        if self.world_size > 1:
            work = [
                dist.all_reduce(sums, op=dist.ReduceOp.SUM, async_op=True),
                dist.all_reduce(maxima, op=dist.ReduceOp.MAX, async_op=True),
            ]
            for each in work:
                each.wait()

    def gather(self, value: Sequence[T]) -> Sequence[Sequence[T]]:
        """Return every rank's value, in rank order. Rare: only when places are new or a fault must be told in words."""
        if self.world_size == 1:
            return [value]
        everyone: list[Sequence[T]] = [() for _ in range(self.world_size)]
        dist.all_gather_object(everyone, value)
        return everyone


def pack(parts: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return the parts in one flat float32 tensor."""
    return torch.cat([part.reshape(-1).float() for part in parts]) if parts else torch.zeros(0, dtype=torch.float32, device=device)
