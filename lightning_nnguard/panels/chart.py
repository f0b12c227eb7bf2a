"""Charts: what panels draw and sinks write. Plain data, no logger in sight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class ScalarChart:
    """One point of a line. `tag` is "<statistic>/<layer>", the layer last."""

    tag: str
    step: int
    value: float


@dataclass(frozen=True, kw_only=True)
class HistogramChart:
    """One histogram: `upper_edges` (ascending) and `counts` of the same length, and moments of the raw values."""

    tag: str
    step: int
    upper_edges: tuple[float, ...]
    counts: tuple[float, ...]
    low: float
    high: float
    total: float
    total_squares: float


@dataclass(frozen=True, kw_only=True)
class ImageChart:
    """One picture; `pixels` has shape (height, width, 3), uint8."""

    tag: str
    step: int
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class TextChart:
    """One Markdown text."""

    tag: str
    step: int
    markdown: str


@dataclass(frozen=True, kw_only=True)
class LayoutChart:
    """Custom-scalars layout: title of a chart -> its kind and the scalar tags it shows (margin: value, lower, upper)."""

    charts: dict[str, tuple[Literal["multiline", "margin"], tuple[str, ...]]] = field(default_factory=dict)


Chart = ScalarChart | HistogramChart | ImageChart | TextChart | LayoutChart
