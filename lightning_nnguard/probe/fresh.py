"""Whether weights look as torch initialises them: nothing has trained them, and they were not loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import sqrt

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
#: How far the standard deviation may be off, or twice its standard error for few values, which is 0.447 / sqrt(values).
_TOLERANCE, _ERROR = 0.05, 0.447
#: Rounding of the largest weight.
_ROUNDING = 1.001
#: Weights of fewer values tell nothing; several weights are needed, or one of many values.
_MIN_VALUES, _MIN_WEIGHTS, _MANY_VALUES = 32, 2, 1000


@torch.no_grad()
def look_fresh(weights: Sequence[tuple[nn.Module, Tensor]]) -> bool:
    """Return whether all matrices and kernels of a part of a model look as torch initialises them; waits for the device.

    Linear layers, convolutions and recurrent layers begin uniformly between known bounds, which no training keeps to. Embeddings
    begin with a standard deviation of 1. Of other modules nothing is known, and so the answer is no.

    Args:
        weights: The parameters of that part with two dimensions or more, each with the module that holds it.
    """
    sizes = []
    for module, weight in weights:
        if hasattr(weight, "to_local") or weight.numel() == 0 or weight.dim() < 2:
            return False
        if weight.numel() < _MIN_VALUES:
            continue
        if isinstance(module, nn.Embedding):
            if weight.numel() >= _MANY_VALUES and abs(float(weight.float().std()) - 1) > _TOLERANCE:
                return False
            continue
        bound = _bound(module, weight)
        if bound is None or not _is_uniform(weight, bound):
            return False
        sizes.append(weight.numel())
    return len(sizes) >= _MIN_WEIGHTS or max(sizes, default=0) >= _MANY_VALUES


def have_copies(weights: Iterable[Tensor], trained: Iterable[Tensor]) -> bool:
    """Return whether a trained weight of the same shape stands beside each of some: they may be a target network.

    Args:
        weights: The weights.
        trained: Parameters that receive gradients.
    """
    return Counter(each.shape for each in weights) <= Counter(each.shape for each in trained)


def _bound(module: nn.Module, weight: Tensor) -> float | None:
    if isinstance(module, nn.RNNBase):
        return 1 / sqrt(module.hidden_size)
    return 1 / sqrt(weight[0].numel()) if isinstance(module, (nn.Linear, *_CONVOLUTIONS)) else None


def _is_uniform(weight: Tensor, bound: float) -> bool:
    weight = weight.detach().float()
    largest, std = torch.stack([weight.abs().max(), weight.std()]).tolist()
    usual = bound / sqrt(3)
    return bool(largest <= bound * _ROUNDING and abs(std / usual - 1) <= max(_TOLERANCE, 2 * _ERROR / sqrt(weight.numel())))
