"""What is measured of a batch norm that uses its running statistics, at the time of its call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_nnguard.probe.functions import argument

#: Arguments of `torch.batch_norm`, where running statistics, mode and momentum stand elsewhere than in `F.batch_norm`.
_NUM_RAW_ARGUMENTS = 9


@dataclass(frozen=True, kw_only=True)
class NormFact:
    """Numbers of one batch norm call in eval mode; see `RunningStatisticsSeen`, whose names these are."""

    num_channels: int
    num_samples: int
    num_values: int
    shift: float
    variance_ratio: float
    spread_ratio: float
    is_untouched: bool


def measure(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> NormFact | None:
    """Measure a call of `F.batch_norm`; None when it uses no running statistics, or its arguments are not the usual tensors.

    Args:
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    named = dict(kwargs)
    if len(args) == _NUM_RAW_ARGUMENTS or argument(args, named, 5, "training", False):
        return None
    names = ("input", "running_mean", "running_var")
    source, mean, variance = (argument(args, named, position, name, None) for position, name in enumerate(names))
    if not all(type(each) in {Tensor, nn.Parameter} and not each.is_meta for each in (source, mean, variance)):
        return None
    if source.dim() < 2 or not source.numel() or source.layout is not torch.strided or not source.is_floating_point():
        return None
    values = source.detach().float().transpose(0, 1).flatten(1)
    mean, variance = mean.float(), variance.float() + float(argument(args, named, 7, "eps", 1e-5))
    distance, spread = values.mean(1) - mean, values.var(1, correction=0)
    shift, variance_ratio = float((distance.abs() / variance.sqrt()).median()), float((spread / variance).median())
    spread_ratio = float(((spread + distance.square()) / variance).mean())
    if not math.isfinite(shift + variance_ratio + spread_ratio):
        return None
    return NormFact(
        num_channels=len(mean), num_samples=source.shape[0], num_values=values.shape[1], shift=shift,
        variance_ratio=variance_ratio, spread_ratio=spread_ratio,
        is_untouched=not mean.any() and bool((variance == variance[0]).all()) and abs(float(variance[0]) - 1) < 1e-2,
    )  # fmt: skip
