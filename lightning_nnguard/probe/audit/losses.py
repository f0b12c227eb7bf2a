"""What is measured of a loss function's input and target, at the time of its call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any

import torch
from torch import Tensor

from lightning_nnguard.probe.audit.diagonal import DiagonalFact, measure_diagonal
from lightning_nnguard.probe.functions import argument
from lightning_nnguard.stats.sample import memory_flat, sample_index

#: Losses over classes: the input has a row for each target, classes in dimension 1 (0 for a single sample).
OVER_CLASSES = frozenset({"cross_entropy", "nll_loss"})
#: Losses that compare value by value.
ELEMENTWISE = frozenset({
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div",
    "poisson_nll_loss", "gaussian_nll_loss", "soft_margin_loss",
})  # fmt: skip
LOSSES = OVER_CLASSES | ELEMENTWISE
#: Losses whose targets are signs, and where these stand among the arguments: those of pairs take two inputs first.
SIGNED: Mapping[str, int] = {
    "cosine_embedding_loss": 2, "margin_ranking_loss": 2, "hinge_embedding_loss": 1, "soft_margin_loss": 1,
}  # fmt: skip
MEASURED = LOSSES | SIGNED.keys()
#: Name of the first argument, if it is not "input".
_INPUT_NAMES = {"cosine_embedding_loss": "input1", "margin_ranking_loss": "input1"}
#: Integers that are written down of each target and of each tensor of tokens, to be compared with each other.
MAX_KEPT = 4096
#: Values that quantiles are estimated from.
_MAX_SORTED = 65_536
#: What infinite inputs (masked logits) count as: facts are finite.
_LARGEST = 1e15


@dataclass(frozen=True, kw_only=True)
class LossFact:
    """Numbers of one loss call; see `LossCallSeen`, whose names these are. All are finite.

    Attributes:
        targets: The first integer targets, in their order, at most `MAX_KEPT`; empty for real-valued ones.
        diagonal: Numbers of the diagonal of square logits; None when they are not square.
    """

    value: float | None
    reduction: str
    is_weighted: bool
    num_values: int
    num_rows: int
    input_min: float
    input_max: float
    input_mean: float
    max_sum_error: float | None
    max_log_sum_error: float | None
    target_min: float
    target_max: float
    target_low: float
    target_high: float
    target_mean: float
    target_std: float
    num_targets: int
    num_ignored: int
    ignore_index: int | None
    targets: tuple[int, ...]
    num_unsigned: int = 0
    num_multi_rows: int = 0
    diagonal: DiagonalFact | None = None


@dataclass(frozen=True, kw_only=True)
class TokenFact:
    """The integers that an embedding was given.

    Attributes:
        shape: Shape of the tensor of integers.
        tokens: The first of them, in their order, at most `MAX_KEPT`.
    """

    shape: tuple[int, ...]
    tokens: tuple[int, ...]


def measure(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> LossFact | None:
    """Measure a call of a function in `MEASURED`; None when its arguments are not the usual tensors, or hold NaN.

    Args:
        name: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments; functions of `torch.nn.functional` get all but input and target as such.
        result: What it returned.
    """
    source = argument(args, dict(kwargs), 0, _INPUT_NAMES.get(name, "input"), None)
    target = argument(args, dict(kwargs), SIGNED.get(name, 1), "target", None)
    if not (isinstance(source, Tensor) and isinstance(target, Tensor) and isinstance(result, Tensor)):
        return None
    if not (_is_plain(source) and _is_plain(target) and source.is_floating_point()):
        return None
    rounding = torch.finfo(source.dtype).eps / 2
    source, goal = (each.detach().float().clamp(-_LARGEST, _LARGEST) for each in (source, target))
    low, high = (float(each) for each in source.aminmax())
    goal_low, goal_high = (float(each) for each in goal.aminmax())
    if isnan(low) or isnan(goal_low):
        return None
    is_over_classes = name in OVER_CLASSES
    sums = _class_sums(source, rounding) if is_over_classes and source.dim() else None
    index = int(argument(args, dict(kwargs), 4, "ignore_index", -100)) if is_over_classes else None
    is_integer = not target.is_floating_point()
    few = _some(goal)
    value, reduction = float(result.detach().float().mean()), kwargs.get("reduction", "mean")
    return LossFact(
        value=value if isfinite(value) else None, reduction=reduction if isinstance(reduction, str) else "mean",
        is_weighted=kwargs.get("weight") is not None, num_values=source.numel(),
        num_rows=source.numel() // source.shape[min(1, source.dim() - 1)] if sums is not None else source.numel(),
        input_min=low, input_max=high, input_mean=float(source.mean()),
        max_sum_error=None if sums is None else sums[0], max_log_sum_error=None if sums is None else sums[1],
        target_min=goal_low, target_max=goal_high, target_low=float(few.quantile(0.05)), target_high=float(few.quantile(0.95)),
        target_mean=float(goal.mean()), target_std=float(goal.std(correction=0)), num_targets=target.numel(),
        num_ignored=int((target == index).sum()) if index is not None and is_integer else 0, ignore_index=index,
        targets=_integers(target) if is_integer else (),
        num_unsigned=int((goal.abs() != 1).sum()) if name in SIGNED else 0,
        num_multi_rows=0 if is_integer or name != "cross_entropy" else _multi_rows(goal),
        diagonal=measure_diagonal(source, target) if is_over_classes else None,
    )  # fmt: skip


def measure_tokens(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> TokenFact | None:
    """Measure a call of `embedding` or `one_hot`; None when it is not given integers.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    tokens = args[0] if args else kwargs.get("input", kwargs.get("tensor"))
    if not isinstance(tokens, Tensor) or not _is_plain(tokens) or tokens.is_floating_point():
        return None
    return TokenFact(shape=tuple(tokens.shape), tokens=_integers(tokens))


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is dense, real, not empty, and there."""
    is_dense = tensor.layout is torch.strided and not (tensor.is_nested or tensor.is_meta)
    return is_dense and not tensor.is_complex() and tensor.numel() > 0


def _class_sums(source: Tensor, rounding: float) -> tuple[float, float]:
    """Return the largest distances from 1 of the rows' sums, and of the sums of their exponentials.

    Args:
        source: The rows, in float32; classes in dimension 1 (0 for a single sample).
        rounding: Largest relative error of a number in the type that it came in; so much of a sum of 1 may be due to that.
    """
    dim = min(1, source.dim() - 1)
    errors = ((sums - 1).abs().amax().clamp(max=_LARGEST) for sums in (source.sum(dim), source.exp().sum(dim)))
    first, second = (max(float(each) - rounding, 0.0) for each in errors)
    return first, second


def _multi_rows(target: Tensor) -> int:
    """Return the rows of a target over classes that hold several ones and else zeros; 0 when any other number is among them."""
    ones = target == 1
    if not bool((ones | (target == 0)).all()):
        return 0
    return int((ones.sum(min(1, target.dim() - 1)) > 1).sum())


def _some(values: Tensor) -> Tensor:
    flat = memory_flat(values)
    return flat.index_select(0, sample_index(flat.numel(), _MAX_SORTED, flat.device))


def _integers(values: Tensor) -> tuple[int, ...]:
    kept: list[int] = values.reshape(-1)[:MAX_KEPT].long().tolist()
    return tuple(kept)
