"""Long names of layers: their end says more than their beginning."""

from __future__ import annotations

from collections.abc import Callable

ELLIPSIS = "…"


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """Return `text`, or its longest end behind an ellipsis that `fits`.

    Args:
        text: One line.
        fits: Whether a candidate is short enough; anything shorter than a fitting text must fit, too.
    """
    if fits(text):
        return text
    low, high = 0, len(text) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(ELLIPSIS + text[len(text) - middle :]) else (low, middle - 1)
    return ELLIPSIS + text[len(text) - low :]
