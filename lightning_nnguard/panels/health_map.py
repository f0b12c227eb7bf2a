"""The heat map of layers over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lightning_nnguard.finding import Severity
from lightning_nnguard.panels.canvas import FAINT, INK, WHITE, Color, blank, fitted, font, pixels
from lightning_nnguard.panels.chart import ImageChart
from lightning_nnguard.panels.fold import fold
from lightning_nnguard.panels.health import NOT_SEEN, OK, Health

TAG = "nnguard/health"
COLORS: dict[int, tuple[str, Color]] = {
    OK: ("ok", (72, 129, 184)),
    Severity.INFO: ("info", (150, 211, 245)),
    Severity.WARNING: ("warning", (250, 181, 47)),
    Severity.ERROR: ("error", (139, 17, 24)),
    NOT_SEEN: ("not seen", (222, 223, 226)),
}

PLOT_WIDTH = 960
MAX_CELL = 48
NAME_WIDTH = 300
MARGIN = 16
TITLE_HEIGHT = 56
AXIS_HEIGHT = 48
MIN_ROW, MAX_ROW = 11, 24


def health_map(health: Health, *, max_height: int = 2400) -> ImageChart:
    """Return the run as a picture: a row a layer, a column a time, the worst severity as the colour.

    The colours differ in lightness too, so they survive colour blindness and grey print. Names of layers that are in trouble at
    the end of the run are in the ink of a warning or an error. Where the rows do not fit, neighbours are folded into one.

    Args:
        health: The run so far.
        max_height: Largest height in pixels.
    """
    steps, severity = health.steps, health.severity
    if not steps or not severity.size:
        return ImageChart(tag=TAG, step=max(health.last_step, 0), pixels=pixels(_empty()))
    room = max_height - TITLE_HEIGHT - AXIS_HEIGHT
    names, severity = fold(health.places[: len(severity)], severity, max_rows=max(1, room // MIN_ROW))
    row = min(MAX_ROW, room // len(names))
    cell = min(MAX_CELL, PLOT_WIDTH // len(steps))
    size = min(13, row)
    labels = [fitted(name or "run", NAME_WIDTH, size) for name in names]
    left = MARGIN + round(max(font(size).getlength(label) for label in labels)) + 8
    width = max(left + cell * len(steps), left + 460) + 3 * MARGIN
    picture, pen = blank(width, TITLE_HEIGHT + row * len(names) + AXIS_HEIGHT)
    _title(pen, health, len(names), left)
    for index, (label, newest) in enumerate(zip(labels, severity[:, -1], strict=True)):
        middle = TITLE_HEIGHT + index * row + row // 2
        pen.text((left - 8, middle), label, fill=_ink(int(newest)), font=font(size), anchor="rm")
    picture.paste(_cells(severity, cell, row), (left, TITLE_HEIGHT))
    _axis(pen, steps, health.last_step, left, cell, TITLE_HEIGHT + row * len(names))
    return ImageChart(tag=TAG, step=health.last_step, pixels=pixels(picture))


def _empty() -> Image.Image:
    picture, pen = blank(480, 60)
    pen.text((MARGIN, 30), "no sampled step yet", fill=FAINT, font=font(14), anchor="lm")
    return picture


def _title(pen: ImageDraw.ImageDraw, health: Health, num_rows: int, left: int) -> None:
    folded = "" if num_rows == len(health.severity) else f" in {num_rows} rows"
    merged = "" if health.stride == 1 else f", worst of every {health.stride} sampled steps"
    title = f"health of {len(health.severity):,} layers{folded}{merged}"
    pen.text((left, 15), title, fill=INK, font=font(14), anchor="lm")
    x = left
    for name, color in COLORS.values():
        pen.rectangle((x, 33, x + 14, 45), fill=color)
        pen.text((x + 20, 39), name, fill=INK, font=font(12), anchor="lm")
        x += 46 + round(font(12).getlength(name))


def _ink(newest: int) -> Color:
    return {int(Severity.WARNING): (168, 96, 0), int(Severity.ERROR): COLORS[Severity.ERROR][1]}.get(newest, INK)


def _cells(severity: NDArray[np.uint8], cell: int, row: int) -> Image.Image:
    """Return the cells as a picture, rows parted by thin lines."""
    palette = np.zeros((256, 3), np.uint8)
    palette[:] = COLORS[NOT_SEEN][1]
    for level, (_, color) in COLORS.items():
        palette[level] = color
    large = palette[severity].repeat(row, axis=0).repeat(cell, axis=1)
    large[row - 1 :: row] = WHITE
    if cell >= 8:
        large[:, cell - 1 :: cell] = WHITE
    return Image.fromarray(large)


def _axis(pen: ImageDraw.ImageDraw, steps: Sequence[int], last_step: int, left: int, cell: int, top: int) -> None:
    """Draw ticks at the beginning of columns that are far enough apart, and the newest step at the end of the last one."""
    small, right = font(12), left + cell * len(steps)
    end = f"{last_step:,}"
    pen.text((right, top + 9), end, fill=INK, font=small, anchor="mt")
    pen.line((right, top, right, top + 5), fill=FAINT)
    room = right - small.getlength(end) / 2
    free = 0.0
    for index, step in enumerate(steps if steps[0] < last_step else ()):
        x, label = left + index * cell, f"{step:,}"
        half = small.getlength(label) / 2
        if x - half >= free and x + half + 12 <= room:
            pen.line((x, top, x, top + 5), fill=FAINT)
            pen.text((x, top + 9), label, fill=INK, font=small, anchor="mt")
            free = x + max(90, half + 12)
    pen.text(((left + right) / 2, top + 29), "step", fill=FAINT, font=small, anchor="mt")
