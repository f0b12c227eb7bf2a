"""Collector of units that do the same as another unit of their layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from lightning_nnguard.observation import DuplicateUnitsSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import pack
from lightning_nnguard.stats.sample import sample_index

#: The first look, in steps since the start; the next ones whenever the steps have doubled.
FIRST_STEP = 200
MIN_COSINE = 0.999
#: Units with fewer weights are easily alike by chance.
MIN_FAN_IN = 8
MIN_UNITS = 8
#: Units, weights of a unit, and layers that one look takes at most.
_MAX_UNITS = 256
_MAX_FAN_IN = 256
_MAX_LAYERS = 64


class DuplicateCollector:
    """Compares the units of each layer with each other, a few times in a run: a sample of units, by a sample of their weights.

    Args:
        model: The user's LightningModule.
        parameters: The model's parameters.
    """

    def __init__(self, model: nn.Module, parameters: Parameters) -> None:
        self._parameters = parameters
        self._dims = dict(list(_unit_dims(model, parameters))[:_MAX_LAYERS])
        self._begin: int | None = None
        self._next = FIRST_STEP
        self._is_due = False

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 2 * len(self._dims) if self._is_due else 0

    @torch.no_grad()
    def pack(self) -> tuple[Tensor, Tensor]:
        """Return how many units of each layer were compared, and how many have a double; nothing when no look is due."""
        device = self._parameters.device
        counts = [self._counts(index, dim) for index, dim in self._dims.items()] if self._is_due else []
        return torch.zeros(0, dtype=torch.float32, device=device), pack(counts, device)

    def _counts(self, index: int, dim: int) -> Tensor:
        weight = self._parameters.infos[index].tensor.detach()
        if weight.dim() <= dim or not weight.numel():  # flattened and sharded since: nothing can be said
            return torch.zeros(2, dtype=torch.float32, device=weight.device)
        units = weight.index_select(dim, sample_index(weight.shape[dim], _MAX_UNITS, weight.device))
        units = units.movedim(dim, 0).flatten(1)
        return doubles(units[:, sample_index(units.shape[1], _MAX_FAN_IN, weight.device)].float())

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers of one sampled step into observations."""
        self._begin = at.step if self._begin is None else self._begin
        num_steps = at.step - self._begin
        seen: list[Seen] = []
        if self._is_due:
            self._next = 2 * num_steps
            seen += self._seen(maxima, at, num_steps)
        # Known to all ranks before the next step: what they pack must have one size.
        self._is_due = num_steps >= self._next
        return seen

    def _seen(self, maxima: Numbers, at: At, num_steps: int) -> Iterator[DuplicateUnitsSeen]:
        for (index, dim), (num_compared, num_alike) in zip(self._dims.items(), maxima.reshape(-1, 2).tolist(), strict=True):
            info = self._parameters.infos[index]
            if not info.tensor.requires_grad or not math.isfinite(num_compared + num_alike) or info.tensor.dim() <= dim:
                continue
            num_units = info.tensor.shape[dim]
            yield DuplicateUnitsSeen(
                where=info.name, step=at.step, epoch=at.epoch, num_units=num_units, num_compared=round(num_compared),
                num_alike=round(num_alike), fan_in=info.tensor.numel() // num_units, min_cosine=MIN_COSINE, num_steps=num_steps,
            )  # fmt: skip


def doubles(units: Tensor) -> Tensor:
    """Return how many units have weights at all, and how many of them point the same way as another one: shape (2,).

    Args:
        units: shape (units, weights), float32.
    """
    lengths = units.norm(dim=1)
    is_live = lengths > 1e-6 * lengths.amax()
    directions = units / lengths.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    cosines = directions @ directions.T
    cosines = (cosines * (is_live & is_live[:, None])).fill_diagonal_(0.0)
    return torch.stack([is_live.sum(), (cosines.amax(1) > MIN_COSINE).sum()]).float()


def _unit_dims(model: nn.Module, parameters: Parameters) -> Iterator[tuple[int, int]]:
    """Iterate over the weights of linear layers and convolutions with several units, and the dimension that tells these apart.

    Depthwise convolutions are left out, because small smoothing filters are alike by nature, and so are sharded weights.
    """
    layers: dict[int, nn.Linear | _ConvNd] = {}
    for module in model.modules():
        if isinstance(module, nn.Linear | _ConvNd):
            # Asking a parametrised layer for its weight would compute it, and may change its buffers.
            layers[id(module._parameters.get("weight"))] = module
    for index, info in enumerate(parameters.infos):
        layer, weight = layers.get(id(info.tensor)), info.tensor
        if layer is None or info.kind != "weight" or info.is_sharded or weight.dtype.itemsize < 2 or weight.dim() < 2:
            continue
        dim, groups = int(isinstance(layer, _ConvTransposeNd)), getattr(layer, "groups", 1)
        if groups > 1 and (weight.shape[1 - dim] == 1 or dim):
            continue
        num_units = weight.shape[dim]
        if num_units >= MIN_UNITS and weight.numel() // num_units >= MIN_FAN_IN:
            yield index, dim
