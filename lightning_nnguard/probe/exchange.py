"""The end of a sampled step: all collectors' numbers packed, merged over ranks, copied to the host once, and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_nnguard.observation import Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Collector, Numbers
from lightning_nnguard.probe.ranks import Ranks, pack


class _Sent(NamedTuple):
    sums: Tensor
    maxima: Tensor
    sizes: Mapping[str, tuple[int, int]]
    event: torch.Event | None
    at: At


class Exchange:
    """Carries the numbers of sampled steps from the device to the host.

    Args:
        collectors: Collectors by name, in the order in which they are read.
        ranks: The processes that train together.
        device: Where the numbers are.
        on_error: Takes the name of a collector that raised, and its exception. It is left out from then on; zeros of the same size
            stand in for it, so that all ranks go on exchanging alike.
    """

    def __init__(
        self,
        collectors: Mapping[str, Collector],
        *,
        ranks: Ranks,
        device: torch.device,
        on_error: Callable[[Exception, str], None],
    ) -> None:
        self._collectors, self._ranks, self._device, self._on_error = dict(collectors), ranks, device, on_error
        self._off: set[str] = set()
        self._sent: _Sent | None = None
        self._ends = False

    @property
    def is_pending(self) -> bool:
        """Whether a sampled step waits to be read."""
        return self._sent is not None

    def send(self, own: Tensor, at: At) -> None:
        """Pack all numbers, merge them over ranks and start copying them to the host.

        Args:
            own: Numbers of the probe itself that are added over ranks, one-dimensional.
            at: Moment of the sampled step.
        """
        parts = {name: self._packed(name, collector) for name, collector in self._collectors.items()}
        sums = pack([own, *(part[0] for part in parts.values())], self._device)
        off = torch.tensor([float(name in self._off) for name in parts], dtype=torch.float32, device=self._device)
        maxima = pack([*(part[1] for part in parts.values()), off], self._device)
        self._ranks.merge(sums, maxima)
        sizes = {name: (len(part[0]), len(part[1])) for name, part in parts.items()}
        if self._device.type == "cpu":
            self._sent = _Sent(sums, maxima, sizes, None, at)
            return
        both = torch.cat([sums, maxima])
        host = torch.empty(both.shape, pin_memory=True)
        host.copy_(both, non_blocking=True)
        event = torch.Event(self._device)
        event.record()
        self._sent = _Sent(host[: len(sums)], host[len(sums) :], sizes, event, at)

    def _packed(self, name: str, collector: Collector) -> tuple[Tensor, Tensor]:
        sizes = collector.sizes
        if name not in self._off:
            try:
                sums, maxima = collector.pack()
                if (sums.numel(), maxima.numel()) == sizes:
                    return sums, maxima
                raise ValueError(f"packed {sums.numel()} and {maxima.numel()} numbers instead of {sizes[0]} and {sizes[1]}")
            except Exception as error:
                self._fail(name, error)
        return torch.zeros(sizes[0], dtype=torch.float32, device=self._device), torch.zeros(
            sizes[1], dtype=torch.float32, device=self._device
        )

    def turn_off(self) -> None:
        """Send nothing but zeros from now on. The other ranks turn their collectors off, too, when they read that.

        What was sent already is read to its end: the other ranks may wait for words about it.
        """
        if self._sent is None:
            self._off.update(self._collectors)
        self._ends = True

    def _fail(self, name: str, error: Exception) -> None:
        self._off.add(name)
        self._on_error(error, name)

    def read(self, num_own: int) -> tuple[Numbers, At, dict[str, list[Seen]]] | None:
        """Return the probe's own merged numbers, their moment, and the observations of each collector; None when all was read.

        Args:
            num_own: How many numbers of its own the probe had sent.
        """
        if self._sent is None:
            return None
        sent, self._sent = self._sent, None
        if sent.event is not None:
            sent.event.synchronize()
        sums, maxima = sent.sums.numpy(), sent.maxima.numpy()
        # A collector that is off on one rank is off on all: `observe` may talk to the other ranks.
        flags = dict(zip(self._collectors, maxima[len(maxima) - len(self._collectors) :], strict=True))
        for name in [name for name, flag in flags.items() if flag > 0 and name not in self._off]:
            self._fail(name, RuntimeError("it failed on another rank"))
        seen: dict[str, list[Seen]] = {}
        sum_offset, max_offset = num_own, 0
        for name, collector in self._collectors.items():
            num_sums, num_maxima = sent.sizes[name]
            part = sums[sum_offset : sum_offset + num_sums], maxima[max_offset : max_offset + num_maxima]
            sum_offset, max_offset = sum_offset + num_sums, max_offset + num_maxima
            seen[name] = []
            if name in self._off:
                continue
            try:
                seen[name] = list(collector.observe(*part, sent.at))
            except Exception as error:
                self._fail(name, error)
        if self._ends:
            self._off.update(self._collectors)
        return sums[:num_own], sent.at, seen
