"""The parameters of the model, and what the optimizers say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_nnguard.probe.names import ParameterInfo, parameters_of
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.stats.norms import replication_weight

_MAX_PLACES = 32


class Parameters:
    """The parameters of a model, in model order, with their weights in sums over ranks.

    Args:
        model: The user's LightningModule.
        ranks: The processes that train together.
    """

    def __init__(self, model: nn.Module, ranks: Ranks) -> None:
        self.infos: list[ParameterInfo] = list(parameters_of(model))
        self.index = {id(info.tensor): i for i, info in enumerate(self.infos)}
        self.device = next((each.device for each in model.parameters() if not each.is_meta), torch.device("cpu"))
        weights = [replication_weight(info.tensor, ranks.world_size, info.num_shards) for info in self.infos]
        self.weights = torch.tensor(weights, dtype=torch.float32, device=self.device)
        self.is_matrix = [info.kind == "weight" and len(info.shape) >= 2 for info in self.infos]

        self._places: dict[tuple[int, ...], Tensor | slice] = {}

    def __len__(self) -> int:
        return len(self.infos)

    def place(self, indices: Sequence[int]) -> Tensor | slice:
        """Return an index tensor on the device for these parameters, which recur; for all in order, one that copies nothing."""
        key = tuple(indices)
        if len(self._places) > _MAX_PLACES:  # which parameters have a gradient may change from step to step (experts)
            self._places.clear()
        if key not in self._places:
            is_all = key == tuple(range(len(self)))
            self._places[key] = slice(len(self)) if is_all else torch.tensor(key, dtype=torch.long, device=self.device)
        return self._places[key]


def learning_rates(optimizers: Sequence[Optimizer]) -> Mapping[int, float]:
    """Return the learning rate of every parameter that an optimizer holds, by its id.

    A learning rate that is a tensor on an accelerator counts as 1: reading it would wait for the device.
    """
    rates: dict[int, float] = {}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            rate = group.get("lr", 1.0)
            if isinstance(rate, Tensor):
                rate = float(rate) if rate.device.type == "cpu" else 1.0
            for parameter in group["params"]:
                rates[id(parameter)] = float(rate) if rate is not None else 1.0
    return rates


def are_maximizing(optimizers: Sequence[Optimizer]) -> bool:
    """Return whether all optimizers are told to go uphill (`maximize=True`)."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    return bool(groups) and all(group.get("maximize", False) for group in groups)
