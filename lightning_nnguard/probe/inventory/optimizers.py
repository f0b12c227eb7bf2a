"""What optimizers hold, compared with what the model has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_nnguard.observation import OptimizerSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.inventory.steps import tensors_of
from lightning_nnguard.stats.norms import local

#: Names of replaced parameters that an observation gives.
_MAX_NAMES = 3
_Likeness = tuple[torch.Size, torch.dtype]


def optimizers_seen(
    optimizers: Sequence[Optimizer], own: Collection[int], orphans: Mapping[str, Tensor], at: At
) -> list[OptimizerSeen]:
    """Return one observation for each optimizer.

    Args:
        optimizers: The run's optimizers.
        own: Ids of the parameters and buffers of the model.
        orphans: The model's parameters that nobody trains though they receive gradients, by name.
        at: The moment.
    """
    waiting: dict[_Likeness, list[str]] = defaultdict(list)
    for name, tensor in orphans.items():
        waiting[tensor.shape, tensor.dtype].append(name)
    seen = []
    for i, optimizer in enumerate(optimizers):
        tensors = tensors_of(optimizer)
        foreign = [each for each in tensors if id(each) not in own]
        # What is in use outside of the model gets gradients; what the model has lost gets none.
        alike = [waiting.get((each.shape, each.dtype)) for each in foreign if _is_idle(each)] if waiting else []
        replaced = [names.pop(0) for names in alike if names]
        seen.append(
            OptimizerSeen(
                where=f"optimizers[{i}]", step=at.step, epoch=at.epoch, kind=type(optimizer).__name__, num_tensors=len(tensors),
                num_foreign=len(foreign), num_stale=len(replaced), replaced_by=tuple(replaced[:_MAX_NAMES]),
            )
        )  # fmt: skip
    return seen


def _is_idle(tensor: Tensor) -> bool:
    """Return whether a tensor has no gradient, or an exactly zero one; waits for the device."""
    return tensor.grad is None or not bool(local(tensor.grad).any())
