"""What is measured of attention, at the time of its call: the entropy of a sample of its rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_nnguard.probe.audit.tolerant import tolerant
from lightning_nnguard.probe.functions import argument
from lightning_nnguard.stats.sample import sample_index

#: Rows of each head, samples and heads that are looked at, and keys that a row may have at least and at most.
_MAX_ROWS = 32
_MAX_SAMPLES = 2
_MAX_HEADS = 32
MIN_KEYS = 8
_MAX_KEYS = 4096
#: Multiplications that a projection of keys may take.
_MAX_WORK = 2**28
#: A score so far below the largest of its row is masked, whatever number stands for minus infinity.
MASKED = 5e3


@dataclass(frozen=True, kw_only=True)
class AttentionFact:
    """Numbers of one attention call; see `AttentionSeen`, whose names these are. All are finite."""

    num_heads: int
    num_rows: int
    num_keys: float
    entropy: float
    head_max: float


def scores_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return what a softmax over the last of three or more dimensions is given, as attention scores are; None for others.

    Args:
        args: Positional arguments of the softmax.
        kwargs: Its keyword arguments.
    """
    scores, dim = argument(args, dict(kwargs), 0, "input", None), argument(args, dict(kwargs), 1, "dim", None)
    if not isinstance(scores, Tensor) or not isinstance(dim, int) or scores.dim() < 3 or not scores.is_floating_point():
        return None
    return scores.detach() if dim % scores.dim() == scores.dim() - 1 else None


@tolerant
def measure_softmax(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> AttentionFact | None:
    """Measure a softmax over the last of three or more dimensions; None for others.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    scores = scores_of(args, kwargs)
    if scores is None or not MIN_KEYS <= scores.shape[-1] <= _MAX_KEYS:
        return None
    # Of three dimensions the first may be samples, heads or both: each counts for itself, as heads do.
    heads = scores[None] if scores.dim() == 3 else scores.flatten(1, -3)
    heads = heads[:_MAX_SAMPLES, :_MAX_HEADS]
    fact = _fact(heads[:, :, sample_index(heads.shape[2], _MAX_ROWS, heads.device)].float())
    return replace(fact, num_heads=1) if fact is not None and scores.dim() == 3 else fact


@tolerant
def measure_product(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> AttentionFact | None:
    """Measure a call of `scaled_dot_product_attention`; None when its arguments are not the usual tensors.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    named = dict(kwargs)
    query, key = (argument(args, named, place, name, None) for place, name in enumerate(("query", "key")))
    mask, is_causal = argument(args, named, 3, "attn_mask", None), bool(argument(args, named, 5, "is_causal", False))
    if not isinstance(query, Tensor) or not isinstance(key, Tensor) or query.dim() not in {3, 4} or key.dim() != query.dim():
        return None
    if query.dim() == 3:
        query, key = query[:, None], key[:, None]
        mask = mask[:, None] if isinstance(mask, Tensor) and mask.dim() == 3 else mask
    if key.shape[1] != query.shape[1] or len(key) != len(query):  # grouped queries, broadcasts
        return None
    return _of_queries(query, key, mask, is_causal=is_causal, scale=kwargs.get("scale"))


@tolerant
def measure_layer(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> AttentionFact | None:
    """Measure a call of `multi_head_attention_forward` on a batch, with one projection of queries, keys and values alike.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    named = dict(kwargs)
    query, key, _, width, num_heads, weight, bias, bias_k = args[:8]
    mask, padding = named.get("attn_mask"), named.get("key_padding_mask")
    is_usual = bias_k is None and not argument(args, named, 9, "add_zero_attn", False) and weight is not None
    if not is_usual or query.dim() != 3 or _MAX_SAMPLES * key.shape[0] * width * width > _MAX_WORK:
        return None
    weights, biases = weight.detach().chunk(3), (None, None) if bias is None else bias.detach().chunk(3)
    queries, keys = (
        _projected(each[:, :_MAX_SAMPLES].detach(), weights[i], biases[i], num_heads) for i, each in enumerate((query, key))
    )
    if isinstance(mask, Tensor) and mask.dim() == 3:
        mask = mask.reshape(-1, num_heads, *mask.shape[1:])[: len(queries)]
    additive, own = additive_mask(mask, hides=True), additive_mask(padding, hides=True)
    if own is not None:
        own = own[: len(queries), None, None]
        additive = own if additive is None else additive + own
    return _of_queries(queries, keys, additive, is_causal=False, scale=None)


def _projected(values: Tensor, weight: Tensor, bias: Tensor | None, num_heads: int) -> Tensor:
    """Return queries or keys, shape (batch, heads, rows, width of a head), of values, shape (rows, batch, width)."""
    projected = F.linear(values.to(weight.dtype), weight, bias)
    return projected.reshape(*values.shape[:2], num_heads, -1).permute(1, 2, 0, 3)


def additive_mask(mask: object, *, hides: bool) -> Tensor | None:
    """Return the mask of an attention call as numbers to add to its scores; None for none.

    Args:
        mask: A mask; None for none.
        hides: Whether True says that a key is hidden, as in `nn.MultiheadAttention`.
    """
    if not isinstance(mask, Tensor):
        return None
    if mask.dtype != torch.bool:
        return mask.float()
    return torch.zeros(mask.shape, device=mask.device).masked_fill(mask if hides else ~mask, -math.inf)


def _of_queries(query: Tensor, key: Tensor, mask: object, *, is_causal: bool, scale: object) -> AttentionFact | None:
    """Return the fact of queries and keys, shape (batch, heads, rows, width) each."""
    num_rows, num_keys, width = query.shape[2], key.shape[2], query.shape[3]
    if not MIN_KEYS <= num_keys <= _MAX_KEYS or not num_rows or not width:
        return None
    chosen = sample_index(num_rows, _MAX_ROWS, query.device)
    some = (slice(_MAX_SAMPLES), slice(_MAX_HEADS))
    query, key = query.detach()[some][:, :, chosen].float(), key.detach()[some].float()
    scores = query @ key.transpose(-1, -2) * (float(scale) if isinstance(scale, int | float) else width**-0.5)
    additive = additive_mask(mask, hides=False)
    if additive is not None:
        additive = additive.expand(*additive.shape[:-2], num_rows, num_keys)
        leading = query.shape[4 - additive.dim() : 2]
        scores = scores + additive[..., chosen, :][tuple(map(slice, leading))]
    if is_causal:
        later = torch.arange(num_keys, device=query.device) > chosen[:, None]
        scores = scores.masked_fill(later, -math.inf)
    return _fact(scores)


def _fact(scores: Tensor) -> AttentionFact | None:
    """Return the fact of scores, shape (batch, heads, rows, keys); None when no row has keys enough, or one holds NaN."""
    largest = scores.amax(-1, keepdim=True)
    num_keys = (scores > largest - MASKED).sum(-1)
    weights = (scores - largest).softmax(-1)
    entropy = -torch.special.xlogy(weights, weights).sum(-1)
    counts = (num_keys >= MIN_KEYS) & (largest.squeeze(-1) > -math.inf)
    total = int(counts.sum())
    if not total:
        return None
    share = (entropy / num_keys.clamp_min(2).log()).where(counts, 0.0)
    by_head = share.sum((0, 2)) / counts.sum((0, 2)).clamp_min(1)
    numbers = float(share.sum() / total), float(by_head.max()), float(num_keys.where(counts, 0).sum() / total)
    if not all(map(math.isfinite, numbers)):
        return None
    return AttentionFact(
        num_heads=scores.shape[1], num_rows=total, num_keys=numbers[2], entropy=numbers[0], head_max=numbers[1]
    )  # fmt: skip
