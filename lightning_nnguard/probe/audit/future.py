"""What is measured of an attention call, at the time of the call: whether positions look at the one behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lightning_nnguard.probe.audit.attention import additive_mask, scores_of
from lightning_nnguard.probe.audit.tolerant import tolerant
from lightning_nnguard.probe.functions import argument
from lightning_nnguard.stats.sample import sample_index

#: Sequences, heads and positions that are looked at.
_MAX_SAMPLES = 8
_MAX_HEADS = 32
_MAX_ROWS = 64
#: A key whose score is so far below the largest of its row (a weight of 3e-7) counts as hidden.
_GAP = 15.0
_NUM_ATTN_MASK = 16


@dataclass(frozen=True, kw_only=True)
class FutureFact:
    """Which keys the queries of an attention call look at.

    Attributes:
        num_queries: Length of the queries.
        num_keys: Length of the keys.
        num_rows: Positions, of all sequences and heads looked at, whose next position looks at itself; others are before padding.
        num_open: Those of them that look at the next position.
    """

    num_queries: int
    num_keys: int
    num_rows: int = 0
    num_open: int = 0


@tolerant
def measure_softmax(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> FutureFact | None:
    """Measure the scores that a softmax over the last of three or more dimensions is given; None for others.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    scores = scores_of(args, kwargs)
    return None if scores is None else _of_scores(scores, scores.shape[-2], scores.shape[-1])


@tolerant
def measure_product(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> FutureFact | None:
    """Measure the mask of a call of `scaled_dot_product_attention`.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    named = dict(kwargs)
    query, key = (argument(args, named, place, name, None) for place, name in enumerate(("query", "key")))
    num_queries, num_keys = query.shape[-2], key.shape[-2]
    if argument(args, named, 5, "is_causal", False):
        return FutureFact(num_queries=num_queries, num_keys=num_keys, num_rows=num_keys, num_open=0)
    mask = argument(args, named, 3, "attn_mask", None)
    return _of_mask(additive_mask(mask, hides=False), query, num_queries, num_keys)


@tolerant
def measure_layer(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> FutureFact | None:
    """Measure the mask of a call of `multi_head_attention_forward`; that of padding hides the same keys from all positions.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    named = dict(kwargs)
    query, key = (argument(args, named, place, name, None) for place, name in enumerate(("query", "key")))
    num_queries, num_keys = len(query), len(key)
    if named.get("is_causal"):
        return FutureFact(num_queries=num_queries, num_keys=num_keys, num_rows=num_keys, num_open=0)
    mask = argument(args, named, _NUM_ATTN_MASK, "attn_mask", None)
    return _of_mask(additive_mask(mask, hides=True), query, num_queries, num_keys)


def _of_mask(mask: Tensor | None, query: Tensor, num_queries: int, num_keys: int) -> FutureFact:
    return _of_scores(query.new_zeros(1, 1) if mask is None else mask.detach(), num_queries, num_keys)


def _of_scores(scores: Tensor, num_queries: int, num_keys: int) -> FutureFact:
    """Return the fact of scores, shape (..., queries, keys) or one that broadcasts to it; it has no rows if one holds NaN."""
    fact = FutureFact(num_queries=num_queries, num_keys=num_keys)
    if num_queries != num_keys:
        return fact
    some = scores.expand(*scores.shape[:-2], num_queries, num_keys)
    some = some.reshape(1, 1, *some.shape) if some.dim() == 2 else some[None] if some.dim() == 3 else some.flatten(1, -3)
    # Of three dimensions the first may be samples, heads or both.
    some = some[:, : _MAX_SAMPLES * _MAX_HEADS] if len(some) == 1 else some[:_MAX_SAMPLES, :_MAX_HEADS]
    at = sample_index(num_keys - 1, _MAX_ROWS, some.device)
    rows, following = some[..., at, :].float(), some[..., at + 1, :].float()
    floor, floor_of_next = (each.amax(-1) - _GAP for each in (rows, following))
    places = at.expand(rows.shape[:-1])[..., None]
    is_open = rows.gather(-1, places + 1).squeeze(-1) > floor
    counts = following.gather(-1, places + 1).squeeze(-1) > floor_of_next
    if bool(rows.isnan().any() | following.isnan().any()):
        return fact
    return FutureFact(
        num_queries=num_queries, num_keys=num_keys, num_rows=int(counts.sum()), num_open=int((counts & is_open).sum())
    )
