from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

from lightning_nnguard.probe.samples import sources
from lightning_nnguard.probe.samples.sources import items_of, shared_items


class Images(Dataset[int]):
    """Fetches nothing: an item that is asked for is an error."""

    def __init__(self, num: int = 100) -> None:
        self.num = num

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, index: int) -> int:
        raise AssertionError(f"item {index} was fetched")


DATA, X = Images(), torch.randn(100, 3)


def shared(train: Any, validation: Any) -> Any:
    loaders = [each if isinstance(each, DataLoader) else DataLoader(each) for each in (train, validation)]
    return shared_items(*map(items_of, loaders))


def test_the_same_data_set() -> None:
    assert shared(DATA, DATA) == (100, "data set")
    assert shared(DataLoader(DATA, shuffle=True), DATA) == (100, "data set")
    assert shared(DATA, Images()) == (0, "data set")


def test_subsets() -> None:
    assert shared(Subset(DATA, range(80)), Subset(DATA, [79, 80, 81, 3])) == (2, "indices")
    assert shared(Subset(DATA, range(80)), Subset(DATA, range(80, 100))) == (0, "data set")
    assert shared(DATA, Subset(DATA, [5])) == (1, "indices")
    assert shared(*random_split(DATA, [0.8, 0.2])) == (0, "data set")
    inner = Subset(DATA, range(50, 100))
    assert shared(Subset(inner, [0, 1]), Subset(DATA, [51, 0, 1])) == (1, "indices")
    assert shared(Subset(inner, np.array([0, 1])), Subset(DATA, torch.tensor([51, 0]))) == (1, "indices")  # type: ignore[arg-type]


def test_concatenations() -> None:
    other = Images(10)
    both = ConcatDataset([DATA, other])
    assert shared(both, other) == (10, "data set")
    assert shared(Subset(both, range(100)), other) == (0, "data set")
    assert shared(Subset(both, [100, 101, 7]), Subset(other, [1, 2])) == (1, "indices")


def test_rows_of_the_same_memory() -> None:
    y = torch.zeros(100)
    assert shared(TensorDataset(X, y), TensorDataset(X, y)) == (100, "tensors")
    assert shared(TensorDataset(X[:80], y[:80]), TensorDataset(X[70:], y[70:])) == (10, "tensors")
    assert shared(TensorDataset(X[:80]), TensorDataset(X[80:])) == (0, "data set")
    assert shared(TensorDataset(X[:80]), Subset(TensorDataset(X), [79, 80])) == (1, "indices")
    assert shared(TensorDataset(X), TensorDataset(X.clone())) == (0, "data set")
    assert shared(TensorDataset(X.t()), TensorDataset(X.t())) == (0, "data set")


class Evens(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(0, 100, 2))


@pytest.mark.parametrize(
    ("sampler", "num"),
    [
        (SequentialSampler(DATA), 100),
        (RandomSampler(DATA), 100),
        (SubsetRandomSampler(range(90, 100)), 10),
        (WeightedRandomSampler([1.0] * 5 + [0.0] * 95, 20), 5),
        (DistributedSampler(DATA, 2, 0), 100),
        (Evens(), 0),
    ],
    ids=lambda each: type(each).__name__,
)
def test_samplers(sampler: Any, num: int) -> None:
    assert shared(DataLoader(DATA, sampler=sampler), DATA)[0] == num
    assert shared(DataLoader(DATA, batch_sampler=BatchSampler(sampler, 4, False)), DATA)[0] == num


def test_the_usual_split_by_two_samplers() -> None:
    train, validation = (DataLoader(DATA, sampler=SubsetRandomSampler(each)) for each in (range(80), range(80, 100)))
    assert shared(train, validation) == (0, "data set")


class OwnBatches(BatchSampler):
    pass


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        raise AssertionError("the stream was read")


class Made(Images):
    def __getitem__(self, index: int) -> int:
        return int(torch.randint(9, ()))


class Taught(Images):
    def __getitem__(self, index: int) -> int:
        return (lambda: index)()


def test_what_is_not_known() -> None:
    stream, made = Stream(), Made()
    assert shared(stream, stream) == (0, "data set")
    assert shared(made, made) == (0, "data set"), "its items do not depend on the index"
    assert shared(DataLoader(DATA, batch_sampler=OwnBatches(Evens(), 4, False)), DATA) == (0, "data set")
    assert items_of([1, 2]) == []
    numbers: Any = range(9)
    assert shared(numbers, numbers) == (0, "data set")


def test_an_index_that_is_used_in_a_closure_is_used() -> None:
    taught = Taught()
    assert shared(taught, taught) == (100, "data set")


def test_long_lists_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_ITEMS", 50)
    assert shared(DATA, DATA) == (0, "data set")
    with pytest.raises(ValueError, match="too many"):
        items_of(DataLoader(Images(20), sampler=SubsetRandomSampler(range(60))))
