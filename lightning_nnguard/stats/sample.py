"""A fixed-size sample of a tensor's elements, spread evenly and free of the stride's aliasing."""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import torch
from torch import Tensor

GOLDEN = 0.6180339887498949


@lru_cache(maxsize=1024)
def sample_index(num_elements: int, num_wanted: int, device: torch.device) -> Tensor:
    """Return indices of `min(num_elements, num_wanted)` distinct elements, spread by the golden ratio.

    A plain stride aliases with the channel axis: with half of the channels dead it can report anything from 0 to 100 % zeros.
    Multiples of an integer near the golden section of the length (coprime to it) form a low-discrepancy sequence instead.

    Args:
        num_elements: Elements of the tensor, at least 1.
        num_wanted: Elements wanted, at least 1.
        device: Where the index lives.

    Returns:
        shape (min(num_elements, num_wanted),), int64.
    """
    if num_elements <= num_wanted:
        return torch.arange(num_elements, device=device)
    step = max(1, round(num_elements * GOLDEN))
    while gcd(step, num_elements) != 1:
        step += 1
    # On the device, because a copy from the host would wait for it; the products need 64 bits.
    return torch.arange(num_wanted, dtype=torch.int64, device=device).mul_(step).remainder_(num_elements)


def memory_flat(values: Tensor) -> Tensor:
    """Return a one-dimensional view of a tensor in memory order; copies only when the memory is not dense.

    `reshape(-1)` copies every channels-last tensor; for statistics over all elements the order does not matter.
    """
    if values.is_contiguous():
        return values.view(-1)
    order = sorted(range(values.dim()), key=lambda dim: values.stride(dim), reverse=True)
    return values.permute(order).reshape(-1)


def take_sample(values: Tensor, out: Tensor) -> int:
    """Copy a sample of a tensor's elements into `out` and return how many were copied.

    Args:
        values: any shape, any real floating dtype, not empty.
        out: shape (width,), float32, same device.

    Returns:
        Number of elements written to the front of `out`; the rest is set to 0.
    """
    flat = memory_flat(values)
    width, total = out.shape[0], flat.shape[0]
    if total > width:
        index = sample_index(total, width, flat.device)
        if flat.dtype == out.dtype:
            torch.index_select(flat, 0, index, out=out)
        else:
            out.copy_(flat.index_select(0, index))
        return width
    out[:total].copy_(flat)
    out[total:].zero_()
    return total
