"""A sliding window over sampled steps."""

from __future__ import annotations

import math
from collections import deque

#: A window holds at least so many sampled steps and spans at least so many steps, as far as the run has got.
MIN_SAMPLES = 5
MIN_SPAN = 50


class StepWindow:
    """The latest values of one number, with the steps they were taken at: just enough for a median over 50 steps or more."""

    def __init__(self) -> None:
        self._values: deque[tuple[int, float]] = deque()

    def add(self, step: int, value: float) -> None:
        """Add the value of a step; forget what the window no longer needs. NaN and Inf are not added."""
        if not math.isfinite(value):
            return
        self._values.append((step, value))
        while len(self._values) > MIN_SAMPLES and step - self._values[1][0] >= MIN_SPAN:
            self._values.popleft()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def span(self) -> int:
        """Steps from the first to the last value."""
        return self._values[-1][0] - self._values[0][0] if self._values else 0

    @property
    def median(self) -> float:
        """Median of the values; 0 when there are none."""
        values = sorted([value for _, value in self._values])
        middle = len(values) // 2
        if not values:
            return 0.0
        return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2

    @property
    def rose(self) -> bool:
        """Whether the last value is larger than the first."""
        return bool(self._values) and self._values[-1][1] > self._values[0][1] * (1 + 1e-9)
