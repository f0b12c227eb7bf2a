"""Reading numbers from an accelerator without waiting for it."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from lightning_nnguard.probe.at import At


class LateReader:
    """Copies one number a step to the host and hands it out when the device has got there.

    Args:
        device: The accelerator.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._waiting: deque[tuple[torch.Event, Tensor, At]] = deque()

    def push(self, number: Tensor, at: At) -> None:
        """Start copying a number of one element; returns at once."""
        host = torch.empty((), dtype=torch.float32, pin_memory=True)
        host.copy_(number.reshape(()).float(), non_blocking=True)
        event = torch.Event(self._device)
        event.record()
        self._waiting.append((event, host, at))

    def ready(self) -> list[tuple[float, At]]:
        """Return the numbers that have arrived, in order; never waits."""
        arrived = []
        while self._waiting and self._waiting[0][0].query():
            _, host, at = self._waiting.popleft()
            arrived.append((float(host), at))
        return arrived

    def rest(self) -> list[tuple[float, At]]:
        """Return the numbers that are still under way, in order; waits for them."""
        for event, _, _ in self._waiting:
            event.synchronize()
        return self.ready()
