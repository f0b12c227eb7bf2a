"""What is measured of a loss function's input and target, at the time of its call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lightning_nnguard.probe.functions import argument

#: Losses over classes: the input has a row for each target, classes in dimension 1 (0 for a single sample).
OVER_CLASSES = frozenset({"cross_entropy", "nll_loss"})
#: Losses that compare value by value.
ELEMENTWISE = frozenset({
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div",
    "poisson_nll_loss", "gaussian_nll_loss", "soft_margin_loss",
})  # fmt: skip
LOSSES = OVER_CLASSES | ELEMENTWISE


@dataclass(frozen=True, kw_only=True)
class LossFact:
    """Numbers of one loss call; see `LossCallSeen`, whose names these are. `value` is the mean of its result."""

    value: float
    num_values: int
    num_rows: int
    input_min: float
    input_max: float
    max_sum_error: float | None
    max_log_sum_error: float | None
    target_min: float
    target_max: float
    target_mean: float
    target_std: float
    num_targets: int
    num_ignored: int
    ignore_index: int | None


def measure(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> LossFact | None:
    """Measure a call of a function in `LOSSES`; None when its arguments are not the usual tensors.

    Args:
        name: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    source, target = argument(args, dict(kwargs), 0, "input", None), argument(args, dict(kwargs), 1, "target", None)
    if not (isinstance(source, Tensor) and isinstance(target, Tensor) and isinstance(result, Tensor)):
        return None
    if not (source.numel() and target.numel() and source.is_floating_point()) or source.is_meta or target.is_complex():
        return None
    source = source.detach().float()
    low, high = source.aminmax()
    sums = _class_sums(source) if name in OVER_CLASSES else None
    index = int(argument(args, dict(kwargs), 4, "ignore_index", -100)) if name in OVER_CLASSES else None
    targets = target.detach().float()
    ignored = int((target == index).sum()) if index is not None and not target.is_floating_point() else 0
    return LossFact(
        value=float(result.detach().float().mean()), num_values=source.numel(),
        num_rows=source.numel() // source.shape[min(1, source.dim() - 1)] if sums is not None else source.numel(),
        input_min=float(low), input_max=float(high),
        max_sum_error=None if sums is None else sums[0], max_log_sum_error=None if sums is None else sums[1],
        target_min=float(targets.amin()), target_max=float(targets.amax()), target_mean=float(targets.mean()),
        target_std=float(targets.std(correction=0)), num_targets=target.numel(), num_ignored=ignored, ignore_index=index,
    )  # fmt: skip


def _class_sums(source: Tensor) -> tuple[float, float] | None:
    """Return the largest distances from 1 of the rows' sums, and of the sums of their exponentials."""
    if not source.dim():
        return None
    dim = min(1, source.dim() - 1)
    return float((source.sum(dim) - 1).abs().amax()), float((source.exp().sum(dim) - 1).abs().amax())
