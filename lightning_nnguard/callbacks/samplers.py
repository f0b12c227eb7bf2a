"""Which samples the training samplers may draw, and how many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from lightning_nnguard.observation import SamplerSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.samples.sources import MAX_ITEMS, sampler_of

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

#: Data sets that pass numbers of samples on as they are.
_PLAIN = (TensorDataset, Subset, ConcatDataset, list, tuple, torch.Tensor, np.ndarray)


def samplers_of(trainer: Trainer, at: At) -> Sequence[SamplerSeen]:
    """Return what is known of the samplers of torch that go by weights or by numbers; what the user's objects raise is ignored."""
    loaders: list[object] = []
    with suppress(Exception):
        loaders = list(trainer.fit_loop._combined_loader.flattened)  # type: ignore[union-attr]
    return [seen for i, loader in enumerate(loaders) for seen in _seen(loader, _name(i, len(loaders)), at)]


def _name(i: int, num: int) -> str:
    return "train_dataloader" if num == 1 else f"train_dataloader[{i}]"


def _seen(loader: object, where: str, at: At) -> Iterator[SamplerSeen]:
    """Yield what is known of a loader's sampler. Samplers that derive from those of torch may mean something else by a number."""
    with suppress(Exception):
        if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
            return
        sampler = _unwrapped(sampler_of(loader))
        if type(sampler) is WeightedRandomSampler:
            num_weights = len(sampler.weights)
            numbers = np.asarray(sampler.weights).nonzero()[0]
        elif type(sampler) is SubsetRandomSampler and len(sampler.indices) <= MAX_ITEMS:
            num_weights, numbers = None, np.asarray(sampler.indices).reshape(-1)
        else:
            return
        if not np.issubdtype(numbers.dtype, np.integer) or not len(numbers):
            return
        yield SamplerSeen(
            where=where, step=at.step, epoch=at.epoch, kind=type(sampler).__name__,
            num_samples=len(loader.dataset), num_weights=num_weights,  # type: ignore[arg-type]
            highest=int(numbers.max()), lowest=int(numbers.min()), is_own=not isinstance(loader.dataset, _PLAIN),
        )  # fmt: skip


def _unwrapped(sampler: object) -> object:
    """Return the user's sampler that Lightning has wrapped for several processes; else the sampler itself."""
    return getattr(sampler.dataset, "_sampler", sampler) if isinstance(sampler, DistributedSampler) else sampler
