"""Numbers to be looked at: first-layer filters and input batches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightning_nnguard.observation import PictureSeen
from lightning_nnguard.panels.canvas import FAINT, INK, blank, font, pixels
from lightning_nnguard.panels.chart import Chart, ImageChart

MAX_PICTURES = {"filters": 256, "batch": 16}
SIDE = {"filters": 48, "batch": 160}
GAP = 3
MARGIN = 10
BAD = np.array((255, 0, 200), np.uint8)


def pictures(seen: Sequence[PictureSeen]) -> list[Chart]:
    """Return first-layer filters and input batches as grids of pictures; NaN and Inf are magenta.

    Logged images:
        nnguard/filters: each filter normalised to its own range, at most 256 evenly spaced.
        nnguard/batch: normalised to the range of the whole batch, the first 16.
    """
    return [ImageChart(tag=f"nnguard/{each.quantity}", step=each.step, pixels=_grid(each)) for each in seen if each.values.size]


def _grid(seen: PictureSeen) -> NDArray[np.uint8]:
    num = min(len(seen.values), MAX_PICTURES[seen.quantity])
    chosen = np.arange(num) if seen.quantity == "batch" else np.linspace(0, len(seen.values) - 1, num).round().astype(int)
    # float64: the range of float32 values may not fit into a float32
    values = seen.values.astype(np.float64)
    finite = np.isfinite(values)
    axes = (1, 2, 3) if seen.quantity == "filters" else (0, 1, 2, 3)
    low = np.where(finite, values, np.inf).min(axis=axes, keepdims=True)
    high = np.where(finite, values, -np.inf).max(axis=axes, keepdims=True)
    tiles = [_tile(values[index], *_range(low, high, index), SIDE[seen.quantity]) for index in chosen]
    height, width = tiles[0].shape[:2]
    columns = _columns(num, height / width)
    rows = math.ceil(num / columns)
    head, note = _words(seen, num, values[finite])
    inner = columns * (width + GAP) - GAP
    full = max(inner, *(math.ceil(font(12).getlength(line)) for line in (head, note))) + 2 * MARGIN
    picture, pen = blank(full, rows * (height + GAP) + 3 * MARGIN + 34)
    for index, tile in enumerate(tiles):
        place = (MARGIN + index % columns * (width + GAP), MARGIN + index // columns * (height + GAP))
        picture.paste(Image.fromarray(tile), place)
    bottom = rows * (height + GAP) + 2 * MARGIN
    pen.text((MARGIN, bottom), head, fill=INK, font=font(12))
    pen.text((MARGIN, bottom + 18), note, fill=FAINT, font=font(12))
    return pixels(picture)


def _columns(num: int, aspect: float) -> int:
    """Return the number of columns that makes the grid about 1.6 times as wide as high, without a ragged end where possible."""
    ideal = min(num, max(1, math.ceil(math.sqrt(num * 1.6 * aspect))))
    even = [each for each in range(1, num + 1) if num % each == 0 and 0.7 * ideal <= each <= 1.5 * ideal]
    return min(even, key=lambda each: (abs(each - ideal), -each), default=ideal)


def _range(low: NDArray[np.float64], high: NDArray[np.float64], index: int) -> tuple[float, float]:
    position = index if len(low) > 1 else 0
    return float(low[position].item()), float(high[position].item())


def _tile(values: NDArray[np.float64], low: float, high: float, side: int) -> NDArray[np.uint8]:
    """Return one picture, shape (channels, height, width), as whole enlarged or shrunken pixels, shape (height, width, 3)."""
    finite = np.isfinite(values)
    scaled = (np.where(finite, values, low) - low) / (high - low) if high > low else np.full_like(values, 0.5)
    grey = (scaled * 255).round().astype(np.uint8)
    colored = np.repeat(grey, 3, axis=0) if len(grey) == 1 else grey
    image = np.ascontiguousarray(np.moveaxis(colored, 0, 2))
    image[~finite.all(axis=0)] = BAD
    longest = max(image.shape[:2])
    if longest > side:
        shape = (max(1, image.shape[1] * side // longest), max(1, image.shape[0] * side // longest))
        return pixels(Image.fromarray(image).resize(shape, Image.Resampling.BOX))
    return image.repeat(side // longest, axis=0).repeat(side // longest, axis=1)


def _words(seen: PictureSeen, num: int, finite: NDArray[np.float64]) -> tuple[str, str]:
    total, channels, height, width = seen.values.shape
    shown = f"{total}" if num == total else f"{num} of {total}"
    kind = "filters, each over its own range" if seen.quantity == "filters" else "inputs"
    bad = seen.values.size - finite.size
    head = f"{seen.where + ': ' if seen.where else ''}{shown} {kind}, {channels} x {height} x {width}, step {seen.step:,}"
    if not finite.size:
        return head, f"no finite value among {bad:,}"
    note = f"min {finite.min():.4g}   max {finite.max():.4g}   mean {finite.mean():.4g}   std {finite.std():.4g}"
    return head, note + (f"   {bad:,} NaN or Inf (magenta)" if bad else "")
