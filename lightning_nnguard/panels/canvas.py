"""Drawing: fonts, text that is one line, and pictures as arrays."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lightning_nnguard.panels.shorten import shorten

Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)
INK: Color = (34, 40, 49)
FAINT: Color = (118, 124, 133)


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font that comes with Pillow; Pillow built without FreeType has one size only."""
    return ImageFont.load_default(size)


def blank(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return a white picture and the pen for it."""
    picture = Image.new("RGB", (width, height), WHITE)
    return picture, ImageDraw.Draw(picture)


@lru_cache(maxsize=4096)
def fitted(text: str, width: int, size: int) -> str:
    """Return `text` as one line of printable characters at most `width` pixels wide, shortened from the left."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return shorten(line, lambda each: font(size).getlength(each) <= width)


def pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """Return a picture as an array of shape (height, width, 3)."""
    return np.asarray(picture, np.uint8)
