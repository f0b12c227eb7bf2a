"""The recorder of the other tools: it writes down what their rules ask for, and leaves the training as it is."""

from __future__ import annotations

import math
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from benchmarks.faults.baselines.record import record
from benchmarks.faults.data import digits, loaders
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import QUIET, Manual, Program, Task


def _tiny() -> Program:
    train, validation = digits(256)
    return Program(module=Task(mlp(64, 10, depth=1)), train=train, validation=validation, epochs=2)


def test_the_recorder_writes_down_what_tools_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.faults.baselines.record.ONE_BATCH_STEPS", 21)
    records = record(_tiny, tmp_path)
    training, one_batch = records.training, records.one_batch
    assert records.notes == ()
    assert (training.task, training.num_classes, len(training.steps), len(training.epochs)) == ("classification", 10, 12, 2)
    assert training.data.num_samples == sum(training.data.label_counts.values()) == 1438
    first = training.steps[0]
    assert first.loss == pytest.approx(math.log(10), abs=0.4)
    assert [act.name for act in first.acts] == ["relu#0"]
    assert [layer.name for layer in first.layers] == ["net.0", "net.2"]
    assert [each.kind for each in first.weights] == ["linear", "bias", "linear", "bias"]
    assert all(each.grad is not None and (each.moved or 0) > 0 for each in first.weights)
    assert sum(first.seen.values()) == 256
    last = training.epochs[-1]
    assert last.val_loss is not None
    assert last.val_accuracy is not None
    assert one_batch is not None
    assert len(one_batch.steps) == 21
    assert one_batch.steps[10].acts[0].std is not None


def test_the_recorder_changes_no_weight(tmp_path: Path) -> None:
    made: list[Program] = []

    def make() -> Program:
        made.append(_tiny())
        return made[-1]

    record(make, tmp_path)
    pl.seed_everything(0, verbose=False)
    bare = _tiny()
    settings = {**QUIET, "max_epochs": 2, "default_root_dir": tmp_path, "num_sanity_val_steps": 0}
    pl.Trainer(**settings).fit(bare.module, bare.train, bare.validation)
    pairs = zip(bare.module.parameters(), made[0].module.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


class _Bare(Task):
    """Two layers with dropout between, and a rectifier in place where there is none to be missed."""

    def __init__(self) -> None:
        super().__init__(
            nn.Sequential(
                nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Linear(8, 2)
            )
        )


def _bare() -> Program:
    x = torch.randn(60, 4)
    train, _ = loaders(x, (x[:, 0] > 0).long(), batch_size=16)
    return Program(module=_Bare(), train=train, epochs=1)


def test_layers_without_activation_function_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.faults.baselines.record.ONE_BATCH_STEPS", 2)
    assert record(_bare, tmp_path).training.bare_layers == ("net.0",)


class _ByHand(Manual):
    """Steps by hand and returns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(64, 10, depth=1)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        self.step(self.optimizers(), torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


def _by_hand() -> Program:
    return Program(module=_ByHand(), train=digits(512).train, epochs=1)


def test_a_step_that_returns_nothing_has_the_loss_that_went_backward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.faults.baselines.record.ONE_BATCH_STEPS", 2)
    losses = [step.loss for step in record(_by_hand, tmp_path).training.steps]
    assert losses[0] == pytest.approx(math.log(10), abs=0.4)
    assert losses[-1] < losses[0]
