"""Which samples cannot be equal by chance: those that hold several real numbers of many values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_nnguard.stats.sample import sample_index

#: Numbers of a sample, and samples of a batch, that are looked at.
_MAX_COLUMNS = 64
_MAX_ROWS = 64
#: Different samples of a batch from which on its columns say something.
_MIN_ROWS = 8
#: Numbers, none of them whole and each another than the three before it, of a sample that does not come up again by chance.
_MIN_VALUES = 4
#: Numbers of a sample that these are counted in.
_MAX_MARKED = 32
#: Columns that are enough when nearly all different samples differ in each, and share of the samples that is nearly all; and the
#: same of columns of which half of the samples differ, such as those of 8-bit images.
_ENOUGH = ((4, 0.95), (32, 0.5))
#: The bit of a digest that says so; it is the sign.
_BIT = -(2**63)


def real_columns(tensors: Sequence[Tensor]) -> Tensor | None:
    """Return at most 64 of the real numbers of each sample; None when there are none.

    Args:
        tensors: The tensors of a batch, samples first, of one length and device.

    Returns:
        shape (samples, columns), floating.
    """
    real = [each.reshape(len(each), -1) for each in tensors if each.is_floating_point() and each.element_size() > 1]
    if not real:
        return None
    largest = max(real, key=lambda each: each.shape[1])
    if largest.shape[1] <= _MAX_COLUMNS:
        return largest
    return largest[:, sample_index(largest.shape[1], _MAX_COLUMNS, largest.device)]


def marked(digests: Tensor, columns: Tensor | None) -> Tensor:
    """Return the digests of samples, negative where a sample holds several different numbers that are not whole.

    Args:
        digests: shape (samples,), int64.
        columns: See `real_columns`.
    """
    positive = digests & ~_BIT
    if columns is None or columns.shape[1] < _MIN_VALUES:
        return positive
    few = columns[:, :_MAX_MARKED]
    is_new = (few != few.trunc()) & few.isfinite()
    for lag in range(1, _MIN_VALUES):  # sorting would take longer
        is_new[:, lag:] &= few[:, lag:] != few[:, :-lag]
    return torch.where(is_new.sum(1) >= _MIN_VALUES, positive | _BIT, positive)


def is_marked(digests: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which digests are of samples that hold several different numbers."""
    return digests < 0


def is_continuous(digests: Tensor, columns: Tensor | None) -> Tensor:
    """Return whether the columns of a batch are of so many values that different samples hardly agree in one.

    Args:
        digests: shape (samples,), int64: the digests of the samples.
        columns: See `real_columns`.

    Returns:
        shape (), bool, on the same device.
    """
    if columns is None:
        return torch.zeros((), dtype=torch.bool, device=digests.device)
    num_rows, num = _num_different(digests[:_MAX_ROWS, None]), _num_different(columns[:_MAX_ROWS])
    enough = [(num >= share * num_rows).sum() >= columns_wanted for columns_wanted, share in _ENOUGH]
    return torch.stack(enough).any() & (num_rows >= _MIN_ROWS).all()


def _num_different(columns: Tensor) -> Tensor:
    """Return how many different numbers each column holds; shape (columns,)."""
    values = columns.sort(0).values
    return 1 + (values[1:] != values[:-1]).sum(0)
