"""What every collector can do at the end of a sampled step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightning_nnguard.observation import Seen
from lightning_nnguard.probe.at import At

Numbers = NDArray[np.float32]


class Collector(Protocol):
    """One kind of observation: packs its numbers on the device, and reads the merged numbers on the host.

    `pack` returns the numbers that are added over ranks and those of which the largest counts. Their sizes must be the same on all
    ranks, so they depend on the model and on merged numbers alone. `observe` gets the merged numbers back in the same order.
    """

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns: so many zeros stand in for a collector that failed."""

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return sums and maxima of this sampled step, each one-dimensional, float32, on the device; starts afresh."""

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers into observations."""
