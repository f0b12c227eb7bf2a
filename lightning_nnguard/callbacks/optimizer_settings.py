"""Settings of the optimizers of a Trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from lightning_nnguard.observation import OptimizerSettingSeen
from lightning_nnguard.probe.at import At


def settings_of(optimizers: Sequence[Optimizer], at: At) -> Sequence[OptimizerSettingSeen]:
    """Return the settings of all groups of parameters, those that are plain numbers."""
    return [
        _setting(f"optimizers[{i}].param_groups[{j}]" if len(each.param_groups) > 1 else f"optimizers[{i}]", each, group, at)
        for i, each in enumerate(optimizers)
        for j, group in enumerate(each.param_groups)
        if group["params"]
    ]


def _setting(where: str, optimizer: Optimizer, group: Mapping[str, Any], at: At) -> OptimizerSettingSeen:
    betas = group.get("betas")
    is_pair = isinstance(betas, tuple | list) and len(betas) == 2 and all(isinstance(each, int | float) for each in betas)
    return OptimizerSettingSeen(
        where=where, step=at.step, epoch=at.epoch, kind=type(optimizer).__name__,
        betas=tuple(float(each) for each in betas) if is_pair and betas is not None else (), momentum=_number(group, "momentum"),
        dampening=_number(group, "dampening"), alpha=_number(group, "alpha"), eps=_number(group, "eps"),
        half="float16" if any(each.dtype == torch.float16 for each in group["params"]) else "",
    )  # fmt: skip


def _number(group: Mapping[str, Any], name: str) -> float | None:
    value = group.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
