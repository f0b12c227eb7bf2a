"""The latest sampled steps of each rectifier, on the host: which of its units fired."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
#: Distinct samples that a verdict needs.
MIN_SAMPLES = 1000
#: Share of a smaller data set that is shown instead; no verdict follows from it.
MIN_SHARE = 0.9


def expected_distinct(num_draws: int, population: int | None) -> float:
    """Return the expected number of distinct samples among draws from a finite data set.

    N (1 - (1 - 1/N)^n), the occupancy formula for n draws with replacement from N; draws themselves when N is unknown.

    Args:
        num_draws: Samples seen, repeats included.
        population: Samples of the data set; None when unknown.
    """
    if not population:
        return float(num_draws)
    return population * -math.expm1(num_draws * math.log1p(-1.0 / population)) if population > 1 else 1.0


@dataclass(frozen=True, kw_only=True)
class UnitWindow:
    """What the latest sampled steps say of one layer.

    Attributes:
        num_dead: Units that were not positive once in any of them.
        num_samples: Distinct samples in them.
        num_windows: Sampled steps among them.
    """

    num_dead: int
    num_samples: int
    num_windows: int


@dataclass
class _Layer:
    steps: deque[tuple[int, int]] = field(default_factory=deque)  # one bit a unit that fired, samples
    num_draws: int = 0


class UnitWindows:
    """Per layer, the latest sampled steps: just as many as hold the distinct samples that a verdict needs.

    Attributes:
        population: Samples of the training set, when known: a sample that comes again is no new evidence.
    """

    def __init__(self) -> None:
        self.population: int | None = None
        self._layers: dict[str, _Layer] = {}

    def add(self, where: str, fired: Mask, num_samples: int) -> UnitWindow | None:
        """Add one step's units; return what the window says once it holds enough samples, else None.

        Args:
            where: The layer.
            fired: shape (units,), which units were positive.
            num_samples: Samples of this step.
        """
        layer = self._layers.setdefault(where, _Layer())
        layer.steps.append((int.from_bytes(np.packbits(fired).tobytes()), num_samples))
        layer.num_draws += num_samples
        wanted = MIN_SAMPLES if not self.population else min(MIN_SAMPLES, MIN_SHARE * self.population)
        while len(layer.steps) > 2 and expected_distinct(layer.num_draws - layer.steps[0][1], self.population) >= wanted:
            layer.num_draws -= layer.steps.popleft()[1]
        num_distinct = expected_distinct(layer.num_draws, self.population)
        if len(layer.steps) < 2 or num_distinct < wanted:
            return None
        alive = 0
        for bits, _ in layer.steps:
            alive |= bits
        return UnitWindow(num_dead=len(fired) - alive.bit_count(), num_samples=int(num_distinct), num_windows=len(layer.steps))
