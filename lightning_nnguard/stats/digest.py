"""Digests by which samples are recognised when they pass by again."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from lightning_nnguard.stats.sample import sample_index

#: Elements of a sample that enter its digest at most, spread over all of it.
MAX_ELEMENTS = 16_384
# Odd constants of splitmix64 (Steele et al., 2014), as signed 64-bit integers.
_FIRST, _SECOND, _STEP = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15, -0x61C8864680B583EB


def sample_digests(samples: Tensor) -> Tensor:
    """Return a 64-bit digest of the bytes of each sample.

    Equal samples have equal digests. Two different ones, of at most 16,384 elements each, have equal digests with a probability
    of about 2^-64; among a million samples on each side that makes one false match in twenty million runs. Of larger samples
    16,384 elements are looked at, so two that differ elsewhere only count as equal.

    Args:
        samples: shape (batch, ...), any dense type.

    Returns:
        shape (batch,), int64, on the same device.
    """
    batch = samples.shape[0]
    if not samples.numel():
        return torch.zeros(batch, dtype=torch.int64, device=samples.device)
    flat = samples.detach().reshape(batch, -1)
    if flat.shape[1] > MAX_ELEMENTS:
        flat = flat[:, sample_index(flat.shape[1], MAX_ELEMENTS, flat.device)]
    raw = flat.contiguous().view(torch.uint8)
    if raw.shape[1] % 8:
        raw = torch.nn.functional.pad(raw, (0, 8 - raw.shape[1] % 8))
    words = raw.contiguous().view(torch.int64)
    # Each word is mixed before it is weighted: floats often end in zeros, which a plain weighted sum would keep.
    return _mix((_mix(words) * _weights(words.shape[1], words.device)).sum(1))


def batch_digest(digests: Tensor) -> Tensor:
    """Return one digest for a batch from those of its samples in their order; shape (), int64."""
    return _mix((digests * _weights(digests.shape[0], digests.device)).sum())


def combined_digests(digests: Tensor) -> Tensor:
    """Return one digest for each sample from those of its parts.

    Args:
        digests: shape (parts, samples), int64: row by row the digests of one part of all samples.

    Returns:
        shape (samples,), int64.
    """
    return _mix((digests * _weights(digests.shape[0], digests.device)[:, None]).sum(0))


def _mix(words: Tensor) -> Tensor:
    """Return well-mixed words: each bit depends on all of them; one to one."""
    words = (words ^ _shifted(words, 30)) * _FIRST
    words = (words ^ _shifted(words, 27)) * _SECOND
    return words ^ _shifted(words, 31)


def _shifted(words: Tensor, num_bits: int) -> Tensor:
    """Return words shifted to the right with zeros behind; `>>` alone repeats the sign."""
    return (words >> num_bits) & ((1 << (64 - num_bits)) - 1)


@lru_cache(maxsize=64)
def _weights(num: int, device: torch.device) -> Tensor:
    """Return an odd weight for each position, so that samples whose words stand in another order differ."""
    return _mix(torch.arange(1, num + 1, device=device) * _STEP) | 1
