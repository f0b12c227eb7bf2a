"""What is seen for panels alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightning_nnguard.observation.seen import Seen


@dataclass(frozen=True, kw_only=True)
class HistogramSeen(Seen):
    """Histogram of one layer's activations or one parameter's gradient on one sampled step, for panels.

    Attributes:
        quantity: "activation" or "gradient".
        upper_edges: Upper edge of each bucket, ascending.
        counts: Elements in each bucket, as many as `upper_edges`.
        low: Smallest element.
        high: Largest element.
        total: Sum of the elements.
        total_squares: Sum of their squares.
    """

    quantity: Literal["activation", "gradient"]
    upper_edges: tuple[float, ...]
    counts: tuple[float, ...]
    low: float
    high: float
    total: float
    total_squares: float


@dataclass(frozen=True, kw_only=True)
class PictureSeen(Seen):
    """Numbers to be looked at as a picture: first-layer filters or one input batch.

    Attributes:
        quantity: "filters" or "batch".
        values: shape (pictures, channels, height, width) with 1 or 3 channels, float32.
    """

    quantity: Literal["filters", "batch"]
    values: NDArray[np.float32]
