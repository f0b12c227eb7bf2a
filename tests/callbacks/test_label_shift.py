"""Real trainings: a split of sorted labels is named, and loaders that cannot be compared are left alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lightning_nnguard import NNGuard, NNGuardWarning
from tests.callbacks.ranked import two_ranks
from tests.programs import Classifier, fit, seed

X = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
Y = torch.cat([torch.arange(3).repeat_interleave(100), torch.full((100,), 2)])
TRAIN, VALIDATION = TensorDataset(X[:240], Y[:240]), TensorDataset(X[240:], Y[240:])


@pytest.fixture(autouse=True)
def _findings_do_not_raise() -> None:
    warnings.filterwarnings("ignore", category=NNGuardWarning)
    warnings.filterwarnings("ignore", message=".*(num_workers|shuffl|bottleneck|infer the `batch_size`).*")
    seed()


class Several(Classifier):
    """Batches of several loaders are welcome."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        parts = batch.values() if isinstance(batch, dict) else [batch]
        return sum(self.shared_step(part, "train") for part in parts if part is not None)  # type: ignore[return-value]


class Backwards(Sampler[int]):
    def __init__(self) -> None: ...

    def __iter__(self) -> Any:
        return iter(range(239, -1, -1))

    def __len__(self) -> int:
        return 240


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(TRAIN)


def train(**changes: Any) -> DataLoader[Any]:
    return DataLoader(**{"dataset": TRAIN, "batch_size": 16, **({} if "sampler" in changes else {"shuffle": True}), **changes})


def validation(data: Dataset[Any] = VALIDATION, **changes: Any) -> DataLoader[Any]:
    return DataLoader(data, 16, **changes)


def said(train: Any, validation: Any, **options: Any) -> list[str]:
    guard = NNGuard(select=["NNG121"], every_n_steps=5)
    fit(Several(), guard, train=train, validation=validation, **{"max_epochs": 3, **options})
    return [each.message for each in guard.findings]


@pytest.mark.parametrize("changes", [{}, {"shuffle": False}, {"sampler": SubsetRandomSampler(range(240))}])
def test_a_sorted_split(changes: dict[str, Any]) -> None:
    (message,) = said(train(**changes), validation())
    assert "160 validation labels differ from 224 of training by 0.8" in message
    assert "class 2 has 100.0%" in message


def test_a_split_of_shuffled_rows() -> None:
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    parts = TensorDataset(X[order[:240]], Y[order[:240]]), TensorDataset(X[order[240:]], Y[order[240:]])
    assert said(train(dataset=parts[0]), validation(parts[1])) == []


@pytest.mark.parametrize(
    "loader",
    [
        lambda: train(sampler=WeightedRandomSampler(torch.ones(240), 240)),
        lambda: train(sampler=Backwards()),
        lambda: train(dataset=Stream(), shuffle=None),
        lambda: {"a": train(), "b": train()},
    ],
    ids=["weights", "sampler of one's own", "stream", "two"],
)
@pytest.mark.filterwarnings("ignore")
def test_training_loaders_that_are_not_compared(loader: Any) -> None:
    assert said(loader(), validation()) == []


def test_a_sorted_split_on_ranks(tmp_path: Path) -> None:
    guard = NNGuard(select=["NNG121"], every_n_steps=5)
    ranks = two_ranks(Several, guard, tmp_path, train=train(), validation=validation(), max_epochs=3)
    assert ranks[0].findings == ranks[1].findings
    (found,) = ranks[0].findings
    assert (found["evidence"]["num_train"], found["evidence"]["num_validation"]) == (
        208,
        160,
    )  # the first batch tells where labels are


@pytest.mark.parametrize("options", [{"limit_val_batches": 9}, {"overfit_batches": 2}, {"reload_dataloaders_every_n_epochs": 1}])
def test_validations_that_are_not_compared(options: dict[str, Any]) -> None:
    assert said(train(), validation(), **options) == []
    assert said(train(), validation(shuffle=True)) == []
