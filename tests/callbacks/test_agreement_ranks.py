"""Rules over ranks, each planted in a real run with two processes, beside its cured twin."""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from lightning_nnguard import NNGuard
from lightning_nnguard.rules import all_rules
from tests.callbacks.ranked import two_ranks
from tests.programs import Classifier, blobs, loader


class _Stream(IterableDataset[Any]):
    """Yields all samples on each rank, or every other one."""

    def __init__(self, *, splits: bool) -> None:
        self.splits = splits

    def __iter__(self) -> Any:
        rank, size = (torch.distributed.get_rank(), 2) if self.splits else (0, 1)
        return (each for i, each in enumerate(blobs(512)) if i % size == rank)


class _Dummies(IterableDataset[Any]):
    """Yields the same sample for ever: a step that makes its own data needs no more."""

    def __iter__(self) -> Any:
        return (blobs(8)[0] for _ in range(512))


class _Unfreezes(Classifier):
    """Trains a layer from the second epoch on that DDP took for frozen; or from the start on."""

    def __init__(self, *, late: bool) -> None:
        super().__init__(dropout=0.0)
        self.late = late
        self.net.second.requires_grad_(not late)

    def on_train_epoch_start(self) -> None:
        self.net.second.requires_grad_(self.current_epoch > 0 or not self.late)


class _Logs(Classifier):
    """Logs its validation loss in one of several ways."""

    def __init__(self, *, sync_dist: bool = True, who: str = "all", monitors: bool = True) -> None:
        super().__init__()
        self.monitors, self.sync_dist, self.who = monitors, sync_dist, who

    def configure_callbacks(self) -> list[Any]:
        return [EarlyStopping("val_loss", patience=99)] if self.monitors else []

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("val_loss", loss, sync_dist=self.sync_dist)
        if self.global_rank == 0 or self.who == "all":
            self.log("hardest", loss.detach().exp(), sync_dist=False, rank_zero_only=self.who == "rank zero, as it says")


class _Trains(Classifier):
    """Monitors a metric object of training."""

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = MulticlassAccuracy(3)

    def configure_callbacks(self) -> list[Any]:
        return [ModelCheckpoint(monitor="train_accuracy", mode="max", save_last=False)]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        logits = self(x)
        self.accuracy(logits, y)
        self.log("train_accuracy", self.accuracy, on_step=True, on_epoch=True)
        return nn.functional.cross_entropy(logits, y)


class _MakesData(Classifier):
    """Draws its data itself, on each rank others."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        generator = torch.Generator().manual_seed(int(batch[0][0]) * 2 + self.global_rank)
        x = torch.randn(8, 6, generator=generator)
        return nn.functional.cross_entropy(self(x), (x[:, 0] > 0).long())


class _Seeds(Classifier):
    """Draws other random numbers on each rank; or leaves them as they are."""

    def __init__(self, *, parts: bool, dropout: float = 0.2) -> None:
        super().__init__(dropout=dropout)
        self.parts = parts

    def on_train_start(self) -> None:
        if self.parts:
            torch.manual_seed(self.global_rank)


class _Quiet(Classifier):
    """Draws nothing: no dropout at all."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net.head(self.net.first(x))
        return logits


class _Waits(Classifier):
    """Takes longer for a batch on rank 1; or on both."""

    def __init__(self, *ranks: int) -> None:
        super().__init__()
        self.ranks = ranks

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.global_rank in self.ranks:
            time.sleep(0.04)
        return super().training_step(batch, batch_idx)


CODES = frozenset(rule.code for rule in all_rules() if rule.code.startswith("NNG8"))
#: Dropout on a common seed is in all of these runs, and on a busy machine one rank may be slower.
_MOST = CODES - {"NNG805", "NNG806"}


@dataclass(frozen=True)
class Case:
    """A run on two ranks and the codes that it is to give."""

    build: Callable[[], pl.LightningModule] = Classifier
    train: Callable[[], DataLoader[Any]] = lambda: loader(512)
    codes: tuple[str, ...] = ()
    select: Set[str] = _MOST
    epochs: int = 2
    places: set[str] | None = None
    rank: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


CASES = {
    "all ranks read one stream": Case(train=lambda: DataLoader(_Stream(splits=False), 8), codes=("NNG801",)),
    "each rank reads its part of a stream": Case(train=lambda: DataLoader(_Stream(splits=True), 8)),
    "the sampler is the user's own, for one process": Case(
        train=lambda: loader(512, shuffle=True, generator=torch.Generator().manual_seed(1)), codes=("NNG801",),
        options={"use_distributed_sampler": False},
    ),
    "Lightning makes the sampler": Case(train=lambda: loader(512, shuffle=True)),
    "a loader of dummies": Case(train=lambda: DataLoader(_Dummies(), 8)),
    "unfrozen after DDP has looked": Case(
        build=lambda: _Unfreezes(late=True), codes=("NNG802",), places={"net.second.weight", "net.second.bias"}, epochs=3
    ),
    "trained from the start": Case(build=lambda: _Unfreezes(late=False), epochs=3),
    "a monitored metric of each rank's own": Case(build=lambda: _Logs(sync_dist=False), codes=("NNG803",)),
    "a monitored metric of all ranks": Case(build=_Logs),
    "a metric of each rank's own that nobody monitors": Case(build=lambda: _Logs(sync_dist=False, monitors=False)),
    "a metric that rank 0 alone has": Case(build=lambda: _Logs(who="rank zero"), codes=("NNG804",), places={"hardest"}),
    "a metric that is said to be of rank 0": Case(build=lambda: _Logs(who="rank zero, as it says")),
    "a monitored metric of training, reduced at the end of the epoch": Case(build=_Trains),
    "counters from which each rank makes its data": Case(
        train=lambda: DataLoader(TensorDataset(torch.arange(512.0)), 8), build=_MakesData,
        options={"use_distributed_sampler": False},
    ),
    "the same dropout on all ranks": Case(build=lambda: _Seeds(parts=False), codes=("NNG805",), select={"NNG805"}),
    "another dropout on each rank": Case(build=lambda: _Seeds(parts=True), select={"NNG805"}),
    "nothing is drawn": Case(build=_Quiet, select={"NNG805"}, options={"strategy": "ddp_find_unused_parameters_true"}),
    "one rank is slow": Case(
        build=lambda: _Waits(1), train=lambda: loader(512), epochs=4, codes=("NNG806",), select={"NNG806"}, rank=1
    ),
    "both ranks are slow": Case(build=lambda: _Waits(0, 1), train=lambda: loader(512), epochs=4, select={"NNG806"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_fault_is_named_and_its_twin_is_not(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    guard = NNGuard(select=sorted(case.select), every_n_steps=4)
    ranks = two_ranks(
        case.build, guard, tmp_path, train=case.train(), validation=loader(128, batch_size=16), max_epochs=case.epochs,
        log_every_n_steps=10, **case.options,
    )  # fmt: skip
    assert ranks[0].error == ranks[1].error == ""
    assert ranks[0].findings == ranks[1].findings
    assert "note:" not in ranks[0].told
    assert [each["code"] for each in ranks[0].findings] == list(case.codes)
    for each in ranks[0].findings:
        assert each["rank"] == case.rank
        assert case.places is None or {each["where"], *each["places"]} == case.places
    assert all(count == 2 for rank in ranks for count in rank.reduces.values())


def test_each_rule_over_ranks_is_planted() -> None:
    assert {code for case in CASES.values() for code in case.codes} == CODES


def test_tables_of_alike_rows_are_no_fault(tmp_path: Path) -> None:
    """Two ranks that draw from three samples often meet by chance."""
    x, y = blobs(3).tensors
    train = DataLoader(TensorDataset(x.repeat(100, 1), y.repeat(100)), 1, shuffle=True)
    ranks = two_ranks(Classifier, NNGuard(select=["NNG801"], every_n_steps=2), tmp_path, train=train, max_epochs=1)
    assert ranks[0].findings == []
