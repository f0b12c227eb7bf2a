"""From tensors to the numbers of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from benchmarks.faults.baselines.recording import InitialSeen
from benchmarks.faults.baselines.seen import ActSeen, GradSeen, OutputSeen, WeightSeen

# Inputs beyond which SageMaker's rule takes a unit for saturated; a rectifier works where its output is above zero.
LIMITS = {"tanh": (-9.4999, 9.4999), "sigmoid": (-23.0, 16.99999)}
MIN_ACTIVITY = 0.01
TINY = 1e-5
MAX_RHO = 0.85


def units(x: Tensor) -> Tensor:
    """Return a tensor as (observations, units): features are last, channels of images second."""
    if x.dim() == 0:
        return x.reshape(1, 1)
    if x.dim() >= 4:
        x = x.movedim(1, -1)
    return x.reshape(-1, x.shape[-1])


def activation(name: str, kind: str, x: Tensor, y: Tensor, recent: Sequence[Tensor]) -> ActSeen:
    """Return what is recorded of an activation function.

    Args:
        name: Its name.
        kind: What it is.
        x: Inputs, any shape, floating point.
        y: Outputs, same shape.
        recent: Outputs of the last ten batches as (observations, units); empty where they are not to be judged.
    """
    low, high = LIMITS.get(kind, (0.0, torch.inf))
    x, y = x.detach().float(), y.detach().float()
    activity = units(((x > low) & (x < high)).float()).mean(0) if kind in LIMITS else units((y > 0).float()).mean(0)
    std = dead = saturated = None
    if recent:
        every = torch.cat(list(recent))
        std = float(every.std(correction=0))
        if kind in LIMITS:
            least = -1.0 if kind == "tanh" else 0.0
            rho = (2 * (every - least) / (1 - least) - 1).abs().mean(0)
            saturated = float((rho > MAX_RHO).float().mean())
        else:
            major = every.abs().quantile(0.95, dim=0)
            dead = float((major < TINY).float().mean())
    return ActSeen(
        name=name,
        kind=kind,
        is_finite=bool(y.isfinite().all()),
        mean=float(y.mean()),
        share_not_positive=float((y <= 0).float().mean()),
        input_variance=float(x.var(correction=0)),
        share_beyond_five=float((x.abs() >= 5).float().mean()),
        idle_units=float((activity < MIN_ACTIVITY).float().mean()),
        std=std,
        dead_units=dead,
        saturated_units=saturated,
    )


def gradient(grad: Tensor) -> GradSeen:
    """Return what is recorded of a gradient."""
    grad = (grad.to_dense() if grad.is_sparse else grad).detach().float().flatten()
    low, high = grad[: 2**20].quantile(torch.tensor([0.05, 0.95])).tolist() if len(grad) else (0.0, 0.0)
    return GradSeen(
        mean=float(grad.mean()),
        mean_abs=float(grad.abs().mean()),
        norm=float(grad.norm()),
        num_zero=int((grad == 0).sum()),
        size=len(grad),
        spread=high - low,
        is_finite=bool(grad.isfinite().all()),
    )


def weight(name: str, w: Tensor, *, is_linear: bool, after: Tensor, saved: dict[int, Tensor], grad: GradSeen | None) -> WeightSeen:
    """Return what is recorded of a parameter.

    Args:
        name: Its name.
        w: Its elements before the step.
        is_linear: Whether it is the weight of a linear layer.
        after: Its elements after the step.
        saved: Interval of saving -> its elements at the last saved step; only intervals that are saved at this step.
        grad: Its gradient.
    """
    w, after = w.float(), after.float()
    size = float(w.abs().mean())
    since = {
        interval: float((after - before.float()).norm() / (before.float().norm() + 1e-9)) for interval, before in saved.items()
    }
    return WeightSeen(
        name=name,
        kind="bias" if w.dim() < 2 else "linear" if is_linear else "weight",
        mean=float(w.mean()),
        mean_abs=size,
        variance=float(w.var(correction=0)),
        is_finite=bool(after.isfinite().all()),
        share_negative=float((w < 0).float().mean()),
        share_tiny=float((w.abs() < TINY).float().mean()),
        moved=float((after - w).abs().mean()) / size if size else None,
        since_saved=since,
        grad=grad,
    )


def initial(name: str, w: Tensor) -> InitialSeen:
    """Return what is recorded of a parameter before training."""
    w = w.detach().float()
    return InitialSeen(name=name, shape=tuple(w.shape), std=float(w.std(correction=0)), total=float(w.sum()))


def output(prediction: Tensor, *, is_log: bool) -> OutputSeen:
    """Return what is recorded of a prediction."""
    y = prediction.detach().float()
    rows = y.reshape(len(y), -1) if y.dim() > 1 else y.reshape(-1, 1)
    return OutputSeen(
        varying=float((rows.var(0, correction=0) > 0).float().mean()),
        is_large=bool((y.abs() > 1).any()),
        is_negative=bool((y < 0).any()),
        low=float(y.min()),
        high=float(y.max()),
        is_positive_log=is_log and bool((y > 1e-6).any()),
    )


def first_tensor(batch: Any) -> Tensor | None:
    """Return the first tensor of a batch of any structure; None when it holds none."""
    leaves = tree_leaves(vars(batch) if hasattr(batch, "__dict__") and not isinstance(batch, Tensor) else batch)
    return next((leaf for leaf in leaves if isinstance(leaf, Tensor)), None)
