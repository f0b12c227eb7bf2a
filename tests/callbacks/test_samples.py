"""Real trainings: samples that come up again are recognised, and what looks like them is left alone."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lightning_nnguard import NNGuard, NNGuardWarning, Severity
from lightning_nnguard.callbacks import run as run_module
from tests.callbacks.ranked import Rank, two_ranks
from tests.programs import Classifier, fit, seed

CODES = ["NNG105", "NNG109", "NNG112", "NNG113", "NNG114", "NNG119"]


@pytest.fixture(autouse=True)
def _findings_do_not_raise() -> None:
    warnings.filterwarnings("ignore", category=NNGuardWarning)
    warnings.filterwarnings("ignore", message=".*(num_workers|shuffl|bottleneck|infer the `batch_size`).*")
    seed()


def rows(num: int = 320, value: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(value)
    return TensorDataset(torch.randn(num, 6, generator=generator), torch.randint(3, (num,), generator=generator))


DATA, OTHER = rows(), rows(80, 1)


class Plain(Classifier):
    """Several validation loaders, and batches in a dictionary, are welcome."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        parts = batch.values() if isinstance(batch, dict) else [batch]
        return sum(self.shared_step(part, "train") for part in parts if part is not None)  # type: ignore[return-value]

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.shared_step(batch, "val")


def said(train: Any, validation: Any = None, module: Any = None, **options: Any) -> list[tuple[str, str, Severity]]:
    guard = NNGuard(select=CODES, every_n_steps=5)
    fit(module or Plain(), guard, train=train, validation=validation, **{"max_epochs": 3, **options})
    return [(each.code, each.where, each.severity) for each in guard.findings]


def load(data: Any = DATA, batch_size: int = 16, **changes: Any) -> DataLoader[Any]:
    return DataLoader(data, batch_size, **changes)


# -- what is healthy -------------------------------------------------------------------------------------------------------------


class Flipping(Dataset[Any]):
    def __init__(self, data: Dataset[Any]) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        x, y = self.data[index]
        return x * (1 if np.random.rand() < 0.5 else -1) * random.choice([1, 1]) + 0.0 * torch.rand(()), y


class Replay(IterableDataset[Any]):
    """Draws from a small buffer."""

    def __iter__(self) -> Iterator[Any]:
        for _ in range(160):
            yield DATA[int(torch.randint(20, ()))]


class Echo(IterableDataset[Any]):
    """Repeats each batch some times."""

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, 320, 16):
            for _ in range(6):
                yield DATA[start : start + 16]


class Batches:
    """A loader of one's own."""

    def __init__(self, data: TensorDataset) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Any]:
        return iter([self.data[start : start + 16] for start in range(0, len(self.data), 16)])


class Codes(TensorDataset):
    """Rows of two bits."""

    def __init__(self, num: int, value: int) -> None:
        generator = torch.Generator().manual_seed(value)
        x = torch.randint(2, (num, 2), generator=generator).float()
        super().__init__(F.pad(x, (0, 4)), x.long().sum(1))


def zeros(num: int) -> TensorDataset:
    return TensorDataset(torch.zeros(num, 6), torch.zeros(num).long())


HEALTHY: dict[str, Any] = {
    "plain": lambda: (load(shuffle=True), load(OTHER)),
    "in order": lambda: (load(), load(OTHER)),
    "workers": lambda: (load(Flipping(DATA), shuffle=True, num_workers=2), load(OTHER)),
    "persistent workers": lambda: (load(shuffle=True, num_workers=2, persistent_workers=True), load(OTHER)),
    "two samplers of one data set": lambda: (
        load(sampler=SubsetRandomSampler(range(240))), load(sampler=SubsetRandomSampler(range(240, 320)))
    ),
    "with replacement": lambda: (load(sampler=WeightedRandomSampler([1.0] * 320, 320), num_workers=2), load(OTHER)),
    "few kinds of rows": lambda: (load(Codes(320, 0), shuffle=True, num_workers=2), load(Codes(80, 1))),
    "few kinds two by two": lambda: (load(Codes(60, 0), 2, shuffle=True), load(Codes(80, 1))),
    "equal rows": lambda: (load(zeros(320)), load(zeros(80))),
    "placeholders": lambda: (load(zeros(320)), load(zeros(320))),
    "one loader of placeholders": lambda: [load(zeros(320))] * 2,
    "all in one batch": lambda: (load(DATA, 320), load(OTHER)),
    "a replay buffer": lambda: (load(Replay(), num_workers=2), load(OTHER)),
    "data echoing": lambda: (load(Echo(), None), load(OTHER)),
    "several loaders": lambda: (CombinedLoader({"a": load(shuffle=True), "b": load(rows(64, 2))}, "max_size_cycle"), load(OTHER)),
    "no validation": lambda: (load(), None),
    "a shuffled validation": lambda: (load(shuffle=True), load(OTHER, shuffle=True)),
    "a loader of the user's": lambda: (Batches(DATA), Batches(OTHER)),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_of(name: str) -> None:
    train, validation = HEALTHY[name]()
    assert said(train, validation) == []


@pytest.mark.parametrize(
    "options",
    [
        {"overfit_batches": 1, "max_epochs": 20},
        {"overfit_batches": 3},
        {"fast_dev_run": 15},
        {"limit_train_batches": 1, "max_epochs": 20},
    ],
)
def test_repeating_on_purpose(options: dict[str, Any]) -> None:
    train = load()
    validation = load(OTHER) if "limit_train_batches" in options else train
    assert said(train, validation, **options) == []


# -- what is not -----------------------------------------------------------------------------------------------------------------


class Again:
    """A loader that hands out its first batch for ever."""

    def __init__(self, dataset: Any = None) -> None:
        self.batch = next(iter(load()))
        if dataset is not None:
            self.dataset = dataset

    def __len__(self) -> int:
        return 15

    def __iter__(self) -> Iterator[Any]:
        return iter([self.batch] * 15)


@pytest.mark.parametrize(("loader", "severity"), [(Again(DATA), Severity.ERROR), (Again(), Severity.INFO)])
def test_a_loader_of_the_users(loader: Any, severity: Severity) -> None:
    assert said(loader) == [("NNG105", "", severity)]


def test_accumulated_micro_batches_count() -> None:
    assert said(Again(DATA), accumulate_grad_batches=3) == [("NNG105", "", Severity.ERROR)]


ERROR, INFO = Severity.ERROR, Severity.INFO


@pytest.mark.parametrize(
    ("train", "validation", "expected"),
    [
        (DATA, DATA, [("NNG109", "val_dataloader", ERROR)]),
        (Subset(DATA, range(200)), Subset(DATA, range(199, 320)), [("NNG109", "val_dataloader", ERROR)]),
        (ConcatDataset([DATA, OTHER]), OTHER, [("NNG109", "val_dataloader", ERROR)]),
        (TensorDataset(*(each.clone() for each in DATA.tensors)), Subset(DATA, range(40)), [("NNG109", "val_dataloader", ERROR)]),
        (DATA, [Subset(DATA, range(40)), OTHER], [("NNG109", "val_dataloaders[0]", INFO)]),
        (DATA, {"seen": Subset(DATA, range(40)), "new": OTHER}, [("NNG109", "val_dataloaders['seen']", INFO)]),
    ],
)
def test_overlaps(train: Any, validation: Any, expected: Any) -> None:
    if isinstance(validation, dict):
        validation = {name: load(each) for name, each in validation.items()}
    elif isinstance(validation, list):
        validation = [load(each) for each in validation]
    else:
        validation = load(validation)
    assert said(load(train, shuffle=True), validation) == expected
    assert said(load(train, shuffle=True), validation, num_sanity_val_steps=0) == expected


def test_validation_that_is_off() -> None:
    assert said(load(), load(), limit_val_batches=0) == []


class Fixed(Sampler[int]):
    shuffle = True

    def __len__(self) -> int:
        return 320

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(320, generator=torch.Generator().manual_seed(0)).tolist())


def test_one_order_for_all_epochs() -> None:
    assert said(load(sampler=Fixed())) == [("NNG114", "", Severity.WARNING)]


def test_random_validation_data() -> None:
    assert said(load(shuffle=True), load(Flipping(OTHER))) == [("NNG112", "val_dataloader", Severity.WARNING)]
    assert said(load(shuffle=True), load(Flipping(OTHER)), reload_dataloaders_every_n_epochs=1) == []


# -- what goes wrong in the user's objects ---------------------------------------------------------------------------------------


class Broken(Dataset[Any]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        return DATA[index]

    @property
    def dataset(self) -> Any:
        raise RuntimeError("the user's")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name) if name.startswith("__") else RuntimeError("the user's")


class Unsized(Broken):
    def __len__(self) -> int:
        raise RuntimeError("the user's")


@pytest.mark.parametrize("kind", [Broken, Unsized])
def test_data_sets_that_raise(kind: Any, capsys: pytest.CaptureFixture[str]) -> None:
    train = load(kind(), sampler=range(64))  # type: ignore[arg-type]
    guard = NNGuard(select=CODES)
    fit(Plain(), guard, train=train, validation=load(OTHER))
    assert guard.findings == []
    assert "note:" not in capsys.readouterr().err


def test_an_error_of_ours_is_noted_and_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(trainer: Any) -> Any:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(run_module, "loading_of", fails)
    assert said(load(), load()) == []
    assert "samples are not recognised: ZeroDivisionError: ours" in capsys.readouterr().err


# -- two ranks -------------------------------------------------------------------------------------------------------------------


def on_ranks(folder: Path, train: Any, validation: Any, **options: Any) -> tuple[list[Any], tuple[Rank, Rank]]:
    guard = NNGuard(select=CODES, every_n_steps=5)
    ranks = two_ranks(Plain, guard, folder, train=train, validation=validation, **{"max_epochs": 3, **options})
    assert ranks[0].findings == ranks[1].findings
    assert ranks[0].error == ranks[1].error == ""
    assert "note:" not in ranks[0].told
    return [(each["code"], each["where"], each["rank"]) for each in ranks[0].findings], ranks


def test_a_healthy_run_on_ranks(tmp_path: Path) -> None:
    # 81 samples: the sampler pads one of the ranks with a sample that the other has
    told, _ = on_ranks(tmp_path, load(rows(331), shuffle=True), load(rows(81, 1)))
    assert told == []


def test_an_overlap_that_only_both_ranks_know(tmp_path: Path) -> None:
    copied = TensorDataset(*(each[:80].clone() for each in DATA.tensors))
    told, ranks = on_ranks(tmp_path, load(shuffle=True), load(copied))
    assert told == [("NNG109", "val_dataloader", None)]
    assert ranks[0].findings[0]["evidence"]["num_shared"] == 80


def test_an_overlap_of_data_sets_on_ranks(tmp_path: Path) -> None:
    assert on_ranks(tmp_path, load(shuffle=True), load(Subset(DATA, range(80))))[0] == [("NNG109", "val_dataloader", None)]


def test_repetition_on_ranks(tmp_path: Path) -> None:
    assert on_ranks(tmp_path, Again(DATA), load(OTHER))[0] == [("NNG105", "", None)]


def test_one_order_on_ranks(tmp_path: Path) -> None:
    told, _ = on_ranks(tmp_path, load(sampler=Fixed()), load(OTHER), use_distributed_sampler=False)
    assert told == [("NNG114", "", None)]


def test_random_validation_data_on_ranks(tmp_path: Path) -> None:
    assert on_ranks(tmp_path, load(shuffle=True), load(Flipping(OTHER)))[0] == [("NNG112", "val_dataloader", None)]


def test_fail_on_ends_both_ranks(tmp_path: Path) -> None:
    guard = NNGuard(select=CODES, fail_on="error")
    ranks = two_ranks(Plain, guard, tmp_path, train=load(), validation=load())
    assert ranks[0].error == ranks[1].error == "TrainingFault"
