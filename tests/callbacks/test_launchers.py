"""Lightning's own launchers: the processes that a Trainer starts train as without the guard, and rank zero speaks for all."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from lightning_nnguard import NNGuard, NNGuardWarning
from tests.programs import Classifier, loader, seed, trainer


class PoisonedOnRankOne(Classifier):
    """Has a loss of NaN in one step, on rank 1 alone; its weights stay good."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        return torch.log(-loss) if self.global_rank == 1 and self.trainer.global_step == 5 else loss

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        for each in self.parameters():
            if each.grad is not None:
                each.grad.nan_to_num_(0.0)


def fit(strategy: str, folder: Path, *guards: Any) -> dict[str, Tensor]:
    """Fit in two processes that the Trainer starts, and return the weights that come back."""
    seed(0)
    module = PoisonedOnRankOne()
    made = trainer(*guards, strategy=strategy, devices=2, logger=CSVLogger(folder, version=0), max_epochs=3)
    with warnings.catch_warnings():  # a fork inherits what pytest does with warnings
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", NNGuardWarning)
        made.fit(module, loader(64), loader(16))
    return module.state_dict()


def lines(folder: Path) -> list[dict[str, Any]]:
    (logbook,) = folder.glob("**/nnguard.jsonl")
    return [json.loads(line) for line in logbook.read_text().splitlines()]


@pytest.mark.parametrize("strategy", ["ddp_fork", "ddp_spawn"])
def test_a_fault_of_one_rank_is_told_once_by_rank_zero(strategy: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    guard = NNGuard(every_n_steps=2)
    weights = fit(strategy, tmp_path, guard)
    assert all(each.isfinite().all() for each in weights.values())
    found = [each for each in lines(tmp_path) if each["event"] == "new" and each["severity"] == "error"]
    assert len(found) == 1
    assert "rank 1" in json.dumps(found[0])
    said = "".join(capfd.readouterr())
    assert said.count("nnguard:") == 1  # one summary
    assert "note:" not in said
    assert guard.findings == []  # the process that launches the others has seen nothing
