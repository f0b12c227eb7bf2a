"""A quantity that was measured several times."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median and quartiles.

    Attributes:
        median: Median.
        low: Lower quartile.
        high: Upper quartile.
        num: Number of measurements.
    """

    median: float
    low: float
    high: float
    num: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        return cls(median=middle, low=low, high=high, num=len(values))

    def percent(self) -> str:
        """Return median and quartiles of a fraction in percent."""
        middle = f"{100 * self.median:.2f} %"
        return f"{middle} ({100 * self.low:.1f} to {100 * self.high:.1f})" if self.num > 1 else middle

    def units(self) -> str:
        """Return median and quartiles of a multiple."""
        return f"{self.median:.2f}" + (f" ({self.low:.2f} to {self.high:.2f})" if self.num > 1 else "")
