"""Collector of training steps that draw the same random numbers on all ranks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

from lightning_nnguard.observation import RandomStateSeen, Seen
from lightning_nnguard.probe.agreement.pieces import SIZE, common, pieces
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers

#: Sampled steps that are looked at.
_MAX_STEPS = 10


class RandomnessCollector:
    """Compares the states of PyTorch's global generators before the batch, and looks whether they move in it; see `Collector`.

    Args:
        device: The model's device, whose generator counts, too, and where packed numbers live.
        world_size: Ranks.
    """

    def __init__(self, device: torch.device, world_size: int) -> None:
        self._device, self._world_size = device, world_size
        self._nothing = torch.zeros(0, dtype=torch.float32, device=device)
        self._num_looks = self._num_equal = 0
        self._before: int | None = None
        self._draws = False

    def start_batch(self) -> None:
        """Take the states at the start of a sampled batch."""
        self._before = _state(self._device) if self._num_looks < _MAX_STEPS else None
        self._draws = False

    def end_batch(self) -> None:
        """Compare with the states at its end."""
        if self._before is not None:
            self._num_looks += 1
            self._draws = _state(self._device) != self._before

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, SIZE + 1

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return the state before the batch, and whether nothing was drawn from it."""
        before, self._before = self._before, None
        if before is None or not self._draws:
            return self._nothing, torch.tensor([0.0] * SIZE + [1.0], dtype=torch.float32, device=self._device)
        return self._nothing, torch.cat([pieces(torch.tensor(before)), torch.zeros(1)]).to(self._device)

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return for how many steps the ranks have drawn the same."""
        if maxima[SIZE] > 0:
            return ()
        self._num_equal = 0 if common(maxima) is None else self._num_equal + 1
        if not self._num_equal:
            return ()
        return [RandomStateSeen(step=at.step, epoch=at.epoch, num_steps=self._num_equal, world_size=self._world_size)]


def _state(device: torch.device) -> int:
    """Return a digest of the generators' states, without waiting for the device."""
    digest = hashlib.blake2b(torch.get_rng_state().numpy().tobytes(), digest_size=8)
    if device.type not in {"cpu", "meta"}:
        with suppress(Exception):  # an accelerator without a generator of its own
            digest.update(torch.get_device_module(device).get_rng_state(device).numpy().tobytes())
    return int.from_bytes(digest.digest(), "little", signed=True)
