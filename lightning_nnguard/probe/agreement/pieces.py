"""64-bit numbers in a maximum over ranks: whether all ranks have sent the same one."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_nnguard.probe.collector import Numbers

_BITS, _NUM = 16, 4
_FULL = (1 << _BITS) - 1
#: Numbers that one word takes in the maximum.
SIZE = 2 * _NUM


def pieces(word: Tensor) -> Tensor:
    """Return a 64-bit number as parts of 16 bits, which float32 holds exactly, and their complements.

    Args:
        word: shape (), int64.

    Returns:
        shape (8,), float32, on the same device.
    """
    shifts = torch.arange(0, _BITS * _NUM, _BITS, device=word.device)
    parts = (word >> shifts) & _FULL
    return torch.cat([parts, _FULL - parts]).float()


def common(maxima: Numbers) -> int | None:
    """Return the number that all ranks have sent; None when they have sent different ones.

    Args:
        maxima: shape (8,): the largest of each part over ranks.
    """
    parts, complements = maxima[:_NUM].astype(int), maxima[_NUM:SIZE].astype(int)
    if (parts + complements != _FULL).any():
        return None
    return sum(int(part) << (_BITS * i) for i, part in enumerate(parts))
