"""What people would rather look at: the first layer's filters, and the batch as the network sees it."""

from __future__ import annotations

import torch
from torch import nn

from lightning_nnguard.observation import PictureSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.batches import float_tensors_in

_MAX_FILTERS = 64
_MAX_PICTURES = 16
_MAX_SIDE = 512


def filters_seen(model: nn.Module, at: At) -> list[PictureSeen]:
    """Return the filters of the first convolution if it is one over images (1 or 3 channels), else nothing."""
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.weight.dim() != 4 or first.weight.shape[1] not in {1, 3} or hasattr(first.weight, "placements"):
        return []
    values = first.weight.detach()[:_MAX_FILTERS].float().cpu()
    if min(values.shape) < 1 or values.shape[-1] < 2 or not torch.isfinite(values).all():
        return []
    return [PictureSeen(step=at.step, epoch=at.epoch, quantity="filters", values=values.numpy().copy())]


def batch_seen(batch: object, at: At) -> list[PictureSeen]:
    """Return the first tensor of a batch that looks like images, shape (batch, 1 or 3, height, width), else nothing."""
    for _, tensor in float_tensors_in(batch):
        if tensor.dim() == 4 and tensor.shape[1] in {1, 3} and min(tensor.shape[2:]) >= 4 and max(tensor.shape[2:]) <= _MAX_SIDE:
            values = tensor.detach()[:_MAX_PICTURES].float().cpu()
            if torch.isfinite(values).all():
                return [PictureSeen(step=at.step, epoch=at.epoch, quantity="batch", values=values.numpy().copy())]
    return []
