"""Averages of the weights at the end of training, and the limit at which the Trainer clips."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from lightning_nnguard.callbacks.averages import AverageWatch
from lightning_nnguard.callbacks.optimization import OptimizationFacts
from lightning_nnguard.observation import AverageSeen
from lightning_nnguard.probe.at import At

QUIET: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = (self.net(batch) - 1).square().mean()
        self.log("loss", loss)
        return loss  # type: ignore[no-any-return]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.net.parameters(), 0.1)


class Averaged(Module):
    def __init__(self, name: str = "ema", *, updates: bool = False, by_hand: bool = False) -> None:
        super().__init__()
        average = copy.deepcopy(self.net).requires_grad_(False) if by_hand else AveragedModel(self.net)
        self.name, self.updates = name, updates
        setattr(self, name, average)

    def on_train_batch_end(self, *args: object) -> None:
        if self.updates:
            average = getattr(self, self.name)
            with torch.no_grad():
                for own, source in zip(average.parameters(), self.net.parameters(), strict=True):
                    own.lerp_(source, 0.1)


class Look(pl.Callback):
    def __init__(self) -> None:
        self.watch: AverageWatch | None = None
        self.seen: list[AverageSeen] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.watch = AverageWatch(trainer, pl_module, 0)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert self.watch is not None
        self.seen = list(self.watch.end(trainer, At(step=trainer.global_step, epoch=0, batch_index=0)))


def data() -> DataLoader[Any]:
    return DataLoader(torch.ones(20, 2), batch_size=2)  # type: ignore[arg-type]


def fit(folder: Path, module: pl.LightningModule, *callbacks: pl.Callback, first: bool = True) -> list[AverageSeen]:
    look = Look()
    both = [look, *callbacks] if first else [*callbacks, look]
    pl.Trainer(**QUIET, max_epochs=2, default_root_dir=folder, callbacks=both).fit(module, data())
    return look.seen


def test_average_that_nobody_updates(tmp_path: Path) -> None:
    (seen,) = fit(tmp_path, Averaged())
    assert (seen.where, seen.num_updates, seen.num_steps, seen.replaces) == ("ema", 0, 20, False)
    assert (seen.num_compared, seen.num_moved, seen.num_sources_moved) == (4, 0, 4)


def test_average_that_somebody_moves_by_hand(tmp_path: Path) -> None:
    (seen,) = fit(tmp_path, Averaged(updates=True))
    assert (seen.num_updates, seen.num_moved) == (0, 4)


def test_copies_are_averages_by_their_name_alone(tmp_path: Path) -> None:
    (seen,) = fit(tmp_path, Averaged("model_ema", by_hand=True))
    assert (seen.where, seen.num_updates, seen.num_moved, seen.num_sources_moved) == ("model_ema", None, 0, 4)
    for name in ("teacher", "target", "reference", "schema"):
        assert fit(tmp_path, Averaged(name, by_hand=True)) == []


class Trained(Averaged):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_trained_part_of_that_name_is_no_average(tmp_path: Path) -> None:
    module = Trained("ema_head", by_hand=True)
    module.ema_head.requires_grad_(True)
    assert fit(tmp_path, module) == []


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("start", "num_updates"), [(1000, 0), (0, 20)])
def test_average_of_a_callback_replaces_the_weights(start: int, num_updates: int, first: bool, tmp_path: Path) -> None:
    (seen,) = fit(tmp_path, Module(), EMAWeightAveraging(decay=0.9, update_starting_at_step=start), first=first)
    assert (seen.where, seen.replaces, seen.num_updates) == ("EMAWeightAveraging", True, num_updates)
    assert (seen.num_moved == 0) == (num_updates == 0)


def test_late_average_of_a_run_that_was_stopped_is_left_alone(tmp_path: Path) -> None:
    assert fit(tmp_path, Averaged(), EarlyStopping("loss", patience=0, min_delta=100.0)) == []


class OwnClipping(Module):
    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("module", "trainer", "limit"),
    [
        (Module, {"gradient_clip_val": 0.5}, 0.5),
        (Module, {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "norm"}, 0.5),
        (Module, {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "value"}, None),
        (Module, {"gradient_clip_val": 0.0}, None),
        (Module, {}, None),
        (OwnClipping, {"gradient_clip_val": 0.5}, None),
    ],
    ids=str,
)
def test_limit_of_the_trainers_own_clipping(module: type[Module], trainer: dict[str, Any], limit: float | None) -> None:
    facts = OptimizationFacts(pl.Trainer(**QUIET, **trainer), module(), set(), lambda _: None)
    assert facts.plan.clip_norm() == limit
    assert facts.plan.scale() is None
