"""Collector of layers whose units are all alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from lightning_nnguard.observation import Seen, SymmetrySeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import pack

#: Units of each layer that the first look compares; a layer in which they differ is not looked at again.
_FEW = 8
#: Relative difference beyond which units are different for good.
_DIFFERENT = 1e-3


class SymmetryCollector:
    """Compares the units of each weight matrix: a few of them once, and all of those matrices that passed, on sampled steps.

    Args:
        model: The user's LightningModule.
        parameters: The model's parameters.
    """

    def __init__(self, model: nn.Module, parameters: Parameters) -> None:
        self._parameters = parameters
        self._dims = dict(_unit_dims(model, parameters))
        self._alike = list(self._dims)
        self._is_first = True
        self._rows: list[Tensor] = []
        self._begin = 0
        self._zero: set[int] = set()
        self._totals: dict[int, float] = {}
        self._told: set[int] = set()

    @torch.no_grad()
    def start_batch(self) -> None:
        """Take the first look, before the first step; on a sampled step."""
        if self._is_first and not self._rows:
            self._rows = [self._gap(index) for index in self._alike]

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 2 * len(self._alike)

    @torch.no_grad()
    def pack(self) -> tuple[Tensor, Tensor]:
        """Return the gap of each matrix; and its largest element at first, later the sum of all, by which it is known to move."""
        device = self._parameters.device
        rows = self._rows if self._is_first else [self._gap(index) for index in self._alike]
        return torch.zeros(0, dtype=torch.float32, device=device), pack([torch.stack(rows, 1)] if rows else [], device)

    def _gap(self, index: int) -> Tensor:
        weight = self._parameters.infos[index].tensor.detach()
        dim = self._dims[index]
        if weight.dim() <= dim or not weight.numel():  # flattened and sharded since: nothing can be said
            return torch.ones(2, dtype=torch.float32, device=weight.device)
        if self._is_first:
            step = max(weight.shape[dim] // _FEW, 1)
            weight = weight[::step] if dim == 0 else weight[:, ::step]
        low, high = weight.aminmax(dim=dim)
        largest = torch.maximum(low.abs(), high.abs()).amax().float()
        gap = (high - low).amax().float() / largest.clamp_min(torch.finfo(torch.float32).tiny)
        return torch.stack([gap, largest if self._is_first else weight.abs().sum(dtype=torch.float32)])

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers of one sampled step into observations."""
        gaps, totals = maxima.reshape(2, len(self._alike))
        seen: list[Seen] = []
        for index, gap, total in zip(self._alike, gaps, totals, strict=True):
            if self._is_first and total == 0:
                self._zero.add(index)
            if self._is_first or not math.isfinite(gap):
                continue
            info = self._parameters.infos[index]
            moved = total != self._totals.setdefault(index, float(total))
            if (moved or index in self._told) and info.tensor.requires_grad:
                num = info.tensor.shape[self._dims[index]]
                self._told.add(index)
                seen.append(
                    SymmetrySeen(
                        where=info.name, step=at.step, epoch=at.epoch, num_units=num, gap=float(gap),
                        num_steps=at.step - self._begin, zero_initialised=index in self._zero,
                    )
                )  # fmt: skip
        self._begin = at.step if self._is_first else self._begin
        self._is_first, self._rows = False, []
        # NaN is no sign of likeness.
        self._alike = [i for i, gap in zip(self._alike, gaps, strict=True) if gap <= _DIFFERENT or i in self._told]
        return seen


def _unit_dims(model: nn.Module, parameters: Parameters) -> Iterator[tuple[int, int]]:
    """Iterate over the weight matrices with several units, and the dimension that tells the units apart, in model order.

    Which dimension that is, is known for the weights of layers alone. What is sharded is left out.
    """
    dims: dict[int, int] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name == "weight":
                dims[id(parameter)] = int(isinstance(module, _ConvTransposeNd))
    for index, info in enumerate(parameters.infos):
        dim = dims.get(id(info.tensor))
        if dim is None or not parameters.is_matrix[index] or info.is_sharded or info.tensor.dtype.itemsize < 2:
            continue
        if info.tensor.shape[dim] > 1:
            yield index, dim
