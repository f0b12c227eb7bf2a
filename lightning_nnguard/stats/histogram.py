"""Histograms over fixed, universal bins, so that they add up exactly over steps and ranks.

A bin is read off the bits of a float32: sign, exponent and the two leading bits of the mantissa. That gives four bins an octave
from 2^-24 to 2^16 on both sides, relative width 14 to 25 %, and one bin for everything nearer to zero.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SHIFT = 21  # 23 mantissa bits, of which two stay
_LOWEST = (127 - 24) << 2
_OCTAVES = 40
_SIDE = _OCTAVES << 2
NUM_BINS = 2 * _SIDE + 1


def histogram_counts(samples: Tensor, counts: Tensor) -> Tensor:
    """Return how many elements of each row fall into each bin.

    Args:
        samples: shape (layers, width), float32; each row's first `counts` elements are valid, the rest is 0.
        counts: shape (layers,), float32.

    Returns:
        shape (layers, NUM_BINS), float32, bins in ascending order of value. Elements beyond the range count in the outermost bin.
    """
    layers, width = samples.shape
    bits = samples.contiguous().view(torch.int32)
    magnitude = (((bits & 0x7FFFFFFF) >> _SHIFT) - (_LOWEST - 1)).clamp_(0, _SIDE)
    bins = torch.where(bits < 0, _SIDE - magnitude, _SIDE + magnitude).long()
    bins += torch.arange(layers, device=samples.device)[:, None] * NUM_BINS
    if samples.device.type == "cpu":
        out = torch.bincount(bins.view(-1), minlength=layers * NUM_BINS).float()
    else:  # bincount would wait for an accelerator
        out = torch.zeros(layers * NUM_BINS, dtype=torch.float32, device=samples.device)
        out.scatter_add_(0, bins.view(-1), torch.ones(1, dtype=torch.float32, device=samples.device).expand(layers * width))
    table = out.view(layers, NUM_BINS)
    table[:, _SIDE] -= width - counts
    return table


@cache
def upper_edges() -> NDArray[np.float64]:
    """Return the upper edge of each bin, ascending, shape (NUM_BINS,)."""
    keys = np.arange(_LOWEST, _LOWEST + _SIDE + 1, dtype=np.int32) << _SHIFT
    edges = keys.view(np.float32).astype(np.float64)
    return np.concatenate([-edges[:-1][::-1], edges])
