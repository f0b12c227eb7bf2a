"""Collector of the rank that takes longest."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from lightning_nnguard.observation import Seen, StragglerSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.ranks import Ranks

#: Sampled steps of a window: one slow step is no slow rank.
WINDOW = 5


class StragglerCollector:
    """Times the forward of sampled steps; see `Collector`.

    Ranks wait for each other in the backward pass, and may before a batch. What lies between is a rank's own: the forward and the
    hooks before it. On an accelerator only what the host waits for is seen.

    Args:
        ranks: The processes that train together.
        device: Where packed numbers live.
    """

    def __init__(self, *, ranks: Ranks, device: torch.device) -> None:
        self._ranks, self._device = ranks, device
        self._began: float | None = None
        self._window: list[float] = []
        self._median = 0.0
        self._is_slowest = False
        self._largest = self._others = 0.0
        self._in_a_row, self._slowest = 0, -1

    def start_batch(self) -> None:
        """Begin a sampled batch."""
        self._began = perf_counter()

    def before_backward(self) -> None:
        """End the forward."""
        if self._began is not None:
            self._window.append(perf_counter() - self._began)
            self._began = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 1, 2

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return this rank's median when a window is complete, and its code when that of the window before was the largest."""
        self._began = None
        code = self._ranks.code if self._is_slowest else 0.0
        self._median = median(self._window) if len(self._window) >= WINDOW else 0.0
        if self._median:
            self._window.clear()
        numbers = torch.tensor([self._median, self._median, code], dtype=torch.float32, device=self._device)
        return numbers[:1], numbers[1:]

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return how long the slowest rank took in a window, and the others; one sampled step later, when its number is known."""
        largest, rank = float(maxima[0]), self._ranks.decode(float(maxima[1]))
        seen = self._judged(rank, at) if rank is not None else []
        self._is_slowest = largest > 0 and torch.tensor(self._median, dtype=torch.float32).item() == largest
        self._largest = largest
        self._others = (float(sums[0]) - largest) / (self._ranks.world_size - 1)
        return seen

    def _judged(self, rank: int, at: At) -> list[StragglerSeen]:
        self._in_a_row = self._in_a_row + 1 if rank == self._slowest else 1
        self._slowest = rank
        return [
            StragglerSeen(
                step=at.step, epoch=at.epoch, rank=rank, seconds=self._largest, others=self._others, num_steps=WINDOW,
                num_windows=self._in_a_row, world_size=self._ranks.world_size,
            )
        ]  # fmt: skip
