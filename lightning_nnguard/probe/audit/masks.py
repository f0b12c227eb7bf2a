"""What is measured of the mask of an attention call, at the time of the call: which keys of each sequence are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_nnguard.probe.audit.attention import MASKED, scores_of
from lightning_nnguard.probe.audit.losses import MAX_KEPT
from lightning_nnguard.probe.audit.tolerant import tolerant
from lightning_nnguard.probe.functions import argument
from lightning_nnguard.stats.sample import sample_index

#: Heads and queries that may say that a key is looked at.
_MAX_HEADS = 8
_MAX_QUERIES = 64
_NUM_KEY_PADDING_MASK = 14
_FRAME_DIMS = 3


@dataclass(frozen=True, kw_only=True)
class MaskFact:
    """Keys of an attention call.

    Attributes:
        shape: Sequences of the batch, and keys of each.
        kept: Whether some query may look at a key, sequence after sequence, of as many whole sequences as make at most `MAX_KEPT`.
    """

    shape: tuple[int, int]
    kept: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class FrameFact:
    """Frames that a linear layer was given, as numbers that can be compared like tokens.

    Attributes:
        shape: Sequences of the batch, and frames of each.
        tokens: 0 for a frame of zeros, another number for each other frame, of the first sequences.
    """

    shape: tuple[int, int]
    tokens: tuple[int, ...]


@tolerant
def measure_softmax(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> MaskFact | None:
    """Measure the scores that a softmax over the last of three or more dimensions is given; None for others.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    scores = scores_of(args, kwargs)
    if scores is None:
        return None
    some = _some(scores)
    largest = some.amax(-1, keepdim=True)
    return _fact(scores.shape, (some > largest - MASKED) & (largest > -MASKED))


@tolerant
def measure_product(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> MaskFact | None:
    """Measure a call of `scaled_dot_product_attention` whose mask has a row for each sequence; None for others.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    key, mask = (argument(args, dict(kwargs), place, name, None) for place, name in ((1, "key"), (3, "attn_mask")))
    if not isinstance(key, Tensor) or not isinstance(mask, Tensor) or mask.dim() != key.dim() or len(mask) != len(key):
        return None
    some = _some(mask.detach())
    kept = some if some.dtype == torch.bool else some > -MASKED
    return _fact((len(key), key.shape[-2]), kept.expand(*kept.shape[:-1], key.shape[-2]))


@tolerant
def measure_layer(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> MaskFact | None:
    """Measure a call of `multi_head_attention_forward` with a `key_padding_mask`; None for others.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    mask = argument(args, dict(kwargs), _NUM_KEY_PADDING_MASK, "key_padding_mask", None)
    if not isinstance(mask, Tensor) or mask.dim() != 2:
        return None
    some = _some(mask.detach())
    return _fact(mask.shape, ~some if some.dtype == torch.bool else some > -MASKED)


@tolerant
def measure_frames(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> FrameFact | None:
    """Measure which frames of sequences (batch, time, features) that a linear layer is given are zeros; None when none is.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    source = argument(args, dict(kwargs), 0, "input", None)
    if not isinstance(source, Tensor) or source.requires_grad or source.dim() != _FRAME_DIMS or not source.numel():
        return None
    num_rows = max(1, MAX_KEPT // source.shape[1])
    are_zeros = (source.detach()[:num_rows] == 0).all(-1).flatten()[:MAX_KEPT]
    if not bool(are_zeros.any()):
        return None
    numbers = torch.arange(1, len(are_zeros) + 1, device=are_zeros.device)
    return FrameFact(shape=(source.shape[0], source.shape[1]), tokens=tuple(numbers.masked_fill(are_zeros, 0).tolist()))


def _some(values: Tensor) -> Tensor:
    """Return the first sequences, and some of their heads and queries; shape (sequences, ..., keys)."""
    values = values[: max(1, MAX_KEPT // max(1, values.shape[-1]))]
    if values.dim() > 3:
        values = values.flatten(1, -3)[:, :_MAX_HEADS]
    if values.dim() > 2 and values.shape[-2] > _MAX_QUERIES:
        values = values[..., sample_index(values.shape[-2], _MAX_QUERIES, values.device), :]
    return values


def _fact(shape: tuple[int, ...], kept: Tensor) -> MaskFact | None:
    """Return the fact of whether keys may be looked at, shape (sequences, ..., keys); None when nothing is hidden."""
    num_keys = shape[-1]
    some = kept.reshape(len(kept), -1, num_keys).any(1)
    if num_keys > MAX_KEPT or bool(some.all()):
        return None
    return MaskFact(shape=(shape[0], num_keys), kept=tuple(some.flatten().tolist()))
