"""Which items of which data set a loader reads, as far as its samplers and subsets tell; no item is fetched."""

from __future__ import annotations

import dis
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from lightning_nnguard.observation import SharedBy

#: Items that are listed; a longer list of indices is left alone.
MAX_ITEMS = 5_000_000
_MAX_DEPTH = 8
_MEMORY = "memory"

Key = tuple[object, ...]


class Items(NamedTuple):
    """Some items of one data set.

    Attributes:
        key: What identifies the data set in this process.
        indices: shape (items,): numbers of the items.
        is_whole: Whether they are all of its items, rather than a choice by indices.
    """

    key: Key
    indices: NDArray[np.int64]
    is_whole: bool


def items_of(loader: object) -> list[Items]:
    """Return which items a loader reads; empty when that is not known, such as for streams and samplers of one's own."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset | range):  # a range is no data
        return []
    chosen = _chosen(sampler_of(loader))
    if chosen is None:
        return []
    size = len(loader.dataset)  # type: ignore[arg-type]
    if size > MAX_ITEMS:
        return []
    whole = np.arange(size) if chosen is _ALL else _numbers(chosen)
    return list(_leaves(loader.dataset, whole, is_whole=chosen is _ALL, depth=_MAX_DEPTH))


def sampler_of(loader: DataLoader[object]) -> object:
    """Return what chooses the items of a loader: its sampler, or a batch sampler of the user's own."""
    batches = loader.batch_sampler
    if batches is None or type(batches) is BatchSampler:
        return getattr(batches, "sampler", loader.sampler)
    return batches


_ALL: Sequence[int] = ()


def _chosen(sampler: object) -> Sequence[int] | None:
    """Return the items that a sampler chooses, `_ALL` for all; None when that is not known."""
    if isinstance(sampler, DistributedSampler):
        inner = getattr(sampler.dataset, "_sampler", None)  # Lightning's wrapper of a sampler of the user's
        return _chosen(inner) if isinstance(inner, Sampler) else _ALL
    if type(sampler) in {SequentialSampler, RandomSampler}:
        return _ALL
    if type(sampler) is SubsetRandomSampler:
        return sampler.indices
    if type(sampler) is WeightedRandomSampler:
        return torch.as_tensor(sampler.weights).nonzero().flatten().tolist()
    return None


def _numbers(indices: object) -> NDArray[np.int64]:
    """Return indices as numbers.

    Raises:
        ValueError: When there are too many.
    """
    if len(indices) > MAX_ITEMS:  # type: ignore[arg-type]
        raise ValueError("too many indices")
    return np.asarray(indices, dtype=np.int64).reshape(-1)


def _leaves(dataset: Dataset[object], indices: NDArray[np.int64], *, is_whole: bool, depth: int) -> Iterator[Items]:
    """Iterate over the data sets at the bottom of subsets and concatenations, with the items that are read of each."""
    if not depth:
        return
    if type(dataset) is Subset:
        yield from _leaves(dataset.dataset, _numbers(dataset.indices)[indices], is_whole=False, depth=depth - 1)
    elif type(dataset) is ConcatDataset:
        ends = np.asarray(dataset.cumulative_sizes)
        part = np.searchsorted(ends, indices, side="right")
        for i, each in enumerate(dataset.datasets):
            start = int(ends[i - 1]) if i else 0
            yield from _leaves(each, indices[part == i] - start, is_whole=is_whole, depth=depth - 1)
    elif type(dataset) is TensorDataset and dataset.tensors:
        yield _rows(dataset, indices, is_whole=is_whole)
    elif not isinstance(dataset, IterableDataset) and _uses_index(dataset):
        yield Items(("data set", id(dataset)), indices, is_whole)


def _rows(dataset: TensorDataset, indices: NDArray[np.int64], *, is_whole: bool) -> Items:
    """Return the rows of memory that a data set of tensors reads: two of them may share their storage."""
    tensor = max(dataset.tensors, key=torch.Tensor.numel)
    size = tensor[:1].numel() * tensor.element_size()
    start = tensor.storage_offset() * tensor.element_size()
    if not tensor.is_contiguous() or not size or start % size:
        return Items(("data set", id(dataset)), indices, is_whole)
    return Items((_MEMORY, str(tensor.device), tensor.untyped_storage().data_ptr(), size), indices + start // size, is_whole)


def _uses_index(dataset: object) -> bool:
    """Return whether the items of a data set depend on their number: those that are made up on the fly do not."""
    code = getattr(getattr(type(dataset), "__getitem__", None), "__code__", None)
    if code is None or code.co_argcount < 2:
        return True
    index = code.co_varnames[1]
    return any(
        each.argval == index or (isinstance(each.argval, tuple) and index in each.argval) for each in dis.get_instructions(code)
    )


def shared_items(train: Sequence[Items], validation: Sequence[Items]) -> tuple[int, SharedBy]:
    """Return how many items of validation are items of training, and by what they are the same."""
    num, shared_by = 0, dict[SharedBy, None]()
    for ours in validation:
        for theirs in train:
            if ours.key == theirs.key and (found := int(np.isin(ours.indices, theirs.indices).sum())):
                num += found
                chosen = not (ours.is_whole and theirs.is_whole)
                shared_by["indices" if chosen else "tensors" if ours.key[0] == _MEMORY else "data set"] = None
    return num, next((by for by in ("indices", "tensors") if by in shared_by), "data set")
