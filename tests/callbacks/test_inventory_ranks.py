"""Two ranks: a fault of the set-up is told once, alike on both, and costs no collective of its own when nothing changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torchmetrics.classification import MulticlassAccuracy

from lightning_nnguard import NNGuard, UpdateRatio
from lightning_nnguard.probe.inventory.inventory import Inventory
from lightning_nnguard.probe.schedule import is_sampled
from tests.callbacks.ranked import Rank, two_ranks
from tests.programs import Classifier, Net, loader

EVERY = 3
RULES = ["NNG203", "NNG204", "NNG205", "NNG219", "NNG223", "NNG224", "NNG225", "NNG513"]


def fit(build: Any, folder: Path, **options: Any) -> tuple[Rank, Rank]:
    guard = NNGuard(every_n_steps=EVERY, select=RULES)
    return two_ranks(build, guard, folder, train=loader(96), **{"validation": loader(32), "max_epochs": 4, **options})


def told(ranks: tuple[Rank, Rank]) -> list[tuple[str, str, Any]]:
    first, second = ranks
    assert first.error == second.error == ""
    assert first.findings == second.findings
    assert "note:" not in first.told
    assert "NNG" not in second.told
    return [(finding["code"], finding["where"], finding["rank"]) for finding in first.findings]


class Forgets(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.forgotten = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.forgotten(x))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.net.parameters(), 0.05)


class Loads(Classifier):
    def setup(self, stage: str) -> None:
        self.net.load_state_dict({f"model.{name}": value for name, value in Net().state_dict().items()}, strict=False)


class LoadsOnRankOne(Loads):
    def setup(self, stage: str) -> None:
        if self.trainer.global_rank == 1:
            super().setup(stage)


class Shares(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.accuracy = MulticlassAccuracy(3)

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        logits = self(batch[0])
        self.accuracy.update(logits, batch[1])
        return F.cross_entropy(logits, batch[1])

    def on_validation_epoch_end(self) -> None:
        self.log("val_acc", self.accuracy.compute())
        self.accuracy.reset()


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (Classifier, []),
        (Forgets, [("NNG203", "forgotten.weight", None)]),
        (Loads, [("NNG223", "net", None)]),
        (LoadsOnRankOne, [("NNG223", "net", 1)]),
        (Shares, [("NNG224", "accuracy", None)]),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_told_once(build: Any, expected: list[Any], tmp_path: Path) -> None:
    ranks = fit(build, tmp_path)
    assert told(ranks) == expected
    assert ranks[0].told.count("why: ") == len(expected)


class Sharded(Forgets):
    """Shards its parameters, which come and go: after the sanity check whole ones stand in their place."""

    is_made = False

    def configure_model(self) -> None:
        if not self.is_made:
            self.is_made = True
            for module in (self.forgotten, self.net):
                fully_shard(module, mesh=self.device_mesh["data_parallel"])


def test_sharded_parameters_are_told_apart_from_new_ones(tmp_path: Path) -> None:
    strategy = ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
    guard = UpdateRatio(every_n_steps=EVERY)
    ranks = two_ranks(Sharded, guard, tmp_path, train=loader(96), validation=loader(32), max_epochs=2, strategy=strategy)
    assert told(ranks) == [("NNG203", "forgotten.weight", None)]
    assert ranks[0].findings[0]["severity"] == "warning"


def test_an_unchanged_inventory_is_not_gathered_again(tmp_path: Path) -> None:
    ranks = two_ranks(Classifier, UpdateRatio(every_n_steps=EVERY), tmp_path, train=loader(96), max_epochs=4)
    sampled = [step for step in range(24) if is_sampled(step, EVERY)]
    looks = [step for epoch in range(4) for step in [each for each in sampled if each // 6 == epoch][:2]]
    assert len(looks) > 4
    for rank in ranks:
        assert rank.gathers == {str(step): 1 for step in looks[:3]}  # after the third look it is known


def test_a_fault_of_ours_on_one_rank_does_not_hang(tmp_path: Path) -> None:
    def prepare() -> None:
        good = Inventory.note_step

        def breaks(self: Inventory, optimizer: Any) -> None:
            if self._ranks.rank == 1:
                raise ZeroDivisionError("ours")
            good(self, optimizer)

        Inventory.note_step = breaks  # type: ignore[method-assign]

    ranks = fit(Forgets, tmp_path, prepare=prepare)
    assert ranks[0].error == ranks[1].error == ""
    assert ranks[0].weights == ranks[1].weights
