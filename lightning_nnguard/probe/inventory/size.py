"""How much there is to train."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from math import prod

from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from lightning_nnguard.observation import ModelSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.inventory.steps import tensors_of
from lightning_nnguard.probe.names import parameters_of
from lightning_nnguard.stats.norms import local

#: Normalisation layers that are looked at.
_MAX_GAINS = 16


def model_seen(
    model: nn.Module, optimizers: Sequence[Optimizer], at: At, *, num_targets: float | None, is_fine_tuned: bool
) -> ModelSeen:
    """Return the size of what is trained.

    Args:
        model: The user's LightningModule.
        optimizers: The run's optimizers.
        at: The moment.
        num_targets: Targets in the training set; None when unknown.
        is_fine_tuned: Whether the model was trained before.
    """
    parameters = list(model.parameters())
    everything = {id(each): each for each in [*parameters, *(each for optimizer in optimizers for each in tensors_of(optimizer))]}
    trainable = [each for each in everything.values() if each.requires_grad]
    return ModelSeen(
        step=at.step, epoch=at.epoch, num_parameters=len(parameters), num_trainable=len(trainable),
        num_values=sum(prod(each.shape) for each in trainable if not is_lazy(each)), num_targets=num_targets,
        is_fine_tuned=is_fine_tuned or any(not each.requires_grad for each in parameters),
    )  # fmt: skip


def has_trained_gains(model: nn.Module) -> bool:
    """Return whether gains of normalisation layers differ from each other, which those of a fresh model do not."""
    gains = (info.tensor.detach() for info in parameters_of(model) if info.kind == "norm" and info.name.endswith("weight"))
    values = [local(each).reshape(-1) for each in islice(gains, _MAX_GAINS)]
    return any(bool((each != each[0]).any()) for each in values if each.numel())
