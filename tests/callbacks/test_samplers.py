"""Which samplers the guard hears of, in real trainings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lightning_nnguard import NNGuard
from lightning_nnguard.callbacks.samplers import _seen
from lightning_nnguard.observation import SamplerSeen
from lightning_nnguard.probe.at import At
from tests.programs import Classifier, fit, loader

AT = At(step=0, epoch=0, batch_index=0)
DATA = torch.utils.data.TensorDataset(torch.randn(40, 3))


def told(dataset: Any, sampler: Any, **changes: Any) -> SamplerSeen | None:
    return next(_seen(DataLoader(dataset, sampler=sampler, **changes), "train_dataloader", AT), None)


def weighted(num: int) -> WeightedRandomSampler:
    return WeightedRandomSampler([1.0] * num, 40)


def test_weights_and_numbers():
    seen = told(DATA, weighted(10))
    assert (seen.kind, seen.num_samples, seen.num_weights, seen.highest, seen.is_own) == ("WeightedRandomSampler", 40, 10, 9, False)
    seen = told(DATA, SubsetRandomSampler([3, -2, 50]))
    assert (seen.num_weights, seen.lowest, seen.highest) == (None, -2, 50)
    assert told(Subset(DATA, range(30)), WeightedRandomSampler([1.0] * 40 + [0.0] * 9, 40)).highest == 39


def test_lightnings_wrapper_is_looked_into():
    assert told(DATA, DistributedSamplerWrapper(weighted(10), num_replicas=2, rank=0)).num_weights == 10
    assert told(DATA, DistributedSampler(DATA, num_replicas=2, rank=0)) is None


class Own(Dataset):
    def __getitem__(self, index: int) -> Any:
        return DATA[index % 40]

    def __len__(self) -> int:
        return 40


class NoLength(Dataset):
    def __getitem__(self, index: int) -> Any:
        return DATA[index]


class BadLength(NoLength):
    def __len__(self) -> int:
        raise OSError("gone")


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter(DATA)


class Derived(WeightedRandomSampler):
    pass


def test_own_data_sets_are_marked():
    assert told(Own(), weighted(50)).is_own


@pytest.mark.parametrize(
    "given",
    [
        DataLoader(DATA, shuffle=True),
        DataLoader(Stream()),
        DataLoader(NoLength(), sampler=weighted(10)),
        DataLoader(DATA, sampler=Derived([1.0] * 10, 40)),
        DataLoader(DATA, sampler=SubsetRandomSampler([])),
        DataLoader(DATA, sampler=SubsetRandomSampler(["a", "b"])),
        DataLoader(DATA, batch_sampler=[[0, 1], [2, 3]]),
        [1, 2],
    ],
)
def test_what_is_not_known_is_not_told(given):
    assert list(_seen(given, "", AT)) == []


def test_whatever_the_data_set_raises():
    given = DataLoader(BadLength(), sampler=weighted(10))
    assert list(_seen(given, "", AT)) == []


def test_a_batch_sampler_of_torch_is_looked_into():
    given = DataLoader(DATA, batch_sampler=BatchSampler(weighted(10), 4, False))
    assert next(_seen(given, "", AT)).num_weights == 10


@pytest.mark.filterwarnings("ignore::lightning_nnguard.NNGuardWarning")
@pytest.mark.parametrize(("num", "codes"), [(4, ["NNG120"]), (24, [])])
def test_in_a_training(num, codes):
    data = loader(24).dataset
    guard = NNGuard(select=["NNG120"])
    fit(Classifier(), guard, train=DataLoader(data, 8, sampler=WeightedRandomSampler([1.0] * num, 24)), max_epochs=1)
    assert [each.code for each in guard.findings] == codes


@pytest.mark.filterwarnings("ignore::lightning_nnguard.NNGuardWarning")
def test_said_before_the_loader_raises():
    data = loader(24).dataset
    guard = NNGuard(select=["NNG120"])
    with pytest.raises(IndexError):
        fit(Classifier(), guard, train=DataLoader(data, 8, sampler=SubsetRandomSampler([30, 31])), max_epochs=1)
    assert [each.code for each in guard.findings] == ["NNG120"]
