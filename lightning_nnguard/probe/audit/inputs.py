"""What is measured of a layer's input at the time of its call, when nothing trained has made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from lightning_nnguard.probe.functions import argument


@dataclass(frozen=True, kw_only=True)
class InputFact:
    """Numbers of a layer's input; see `LayerInputSeen`, whose names these are. All are finite."""

    num_values: int
    mean: float
    std: float
    largest: float
    num_features: int
    max_feature_std: float
    median_feature_std: float


def measure(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> InputFact | None:
    """Measure the input of a layer that is trained; None when the input is trained, too, or holds NaN or infinity.

    Args:
        name: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
    """
    source = argument(args, dict(kwargs), 0, "input", None)
    output = result[0] if isinstance(result, tuple) else result
    if not isinstance(source, Tensor) or not isinstance(output, Tensor) or source.requires_grad or not output.requires_grad:
        return None
    if not source.is_floating_point() or source.numel() < 2 or source.dim() < 2:
        return None
    values = source.detach().float()
    variance, mean = torch.var_mean(values, correction=0)
    if not (isfinite(float(mean)) and isfinite(float(variance))):
        return None
    stds = _feature_stds(name, values)
    return InputFact(
        num_values=values.numel(), mean=float(mean), std=float(variance.sqrt()),
        largest=float(values.abs().amax()), num_features=len(stds),
        max_feature_std=float(stds.amax()) if len(stds) else 0.0, median_feature_std=float(stds.median()) if len(stds) else 0.0,
    )  # fmt: skip


def _feature_stds(name: str, values: Tensor) -> Tensor:
    """Return the standard deviation of each feature that is not constant; shape (features,), float32."""
    if name.startswith("conv"):
        is_batched = values.dim() == int(name[-2]) + 2
        rows = values.transpose(0, 1).flatten(1) if is_batched else values.flatten(1)
    else:
        rows = values.reshape(-1, values.shape[-1]).T
    stds = rows.std(1, correction=0)
    return stds[stds > 0]
