"""What the Trainer will do, against which schedules are held: intervals, accumulation, frequency, resumption, rehearsals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, StochasticWeightAveraging
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, IterableDataset

from lightning_nnguard import Finding, NNGuard
from lightning_nnguard.callbacks.optimization import OptimizationFacts
from lightning_nnguard.callbacks.schedules import schedules_of
from lightning_nnguard.observation import OptimizerSettingSeen, ScheduleSeen, Seen
from lightning_nnguard.probe.at import At

QUIET: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip
NUM_BATCHES = 10


class Module(pl.LightningModule):
    def __init__(self, length: int = 20, **config: Any) -> None:
        super().__init__()
        self.layer, self.length, self.config, self.num_calls = nn.Linear(2, 1), length, config, 0

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = self.layer(batch).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": CosineAnnealingLR(optimizer, self.length), **self.config}}


class Counting(Module):
    def on_train_start(self) -> None:
        scheduler = self.lr_schedulers()
        step = scheduler.step

        def counted(*args: Any) -> None:
            self.num_calls += 1
            step(*args)

        scheduler.step = counted  # type: ignore[method-assign]


class Look(pl.Callback):
    def __init__(self) -> None:
        self.seen: list[ScheduleSeen] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen = list(schedules_of(trainer, pl_module, At(step=0, epoch=0, batch_index=0)))


def data(num_batches: int = NUM_BATCHES) -> DataLoader[Any]:
    return DataLoader(torch.ones(2 * num_batches, 2), batch_size=2)  # type: ignore[arg-type]


def fit(folder: Path, module: pl.LightningModule, loader: Any = None, **trainer: Any) -> list[ScheduleSeen]:
    look = Look()
    callbacks = [look, *trainer.pop("callbacks", ())]
    runner = pl.Trainer(**{**QUIET, "max_epochs": 3, "default_root_dir": folder, **trainer}, callbacks=callbacks)
    runner.fit(module, data() if loader is None else loader)
    return look.seen


@pytest.mark.parametrize(
    ("config", "trainer"),
    [
        ({}, {}),
        ({"interval": "step"}, {}),
        ({"interval": "step"}, {"accumulate_grad_batches": 4}),
        ({"interval": "step", "frequency": 2}, {}),
        ({"interval": "step", "frequency": 3}, {"accumulate_grad_batches": 2}),
        ({"interval": "step", "frequency": 5}, {"accumulate_grad_batches": 4}),
        ({"frequency": 3}, {}),
        ({"interval": "step"}, {"max_steps": 17, "max_epochs": -1}),
        ({"interval": "step"}, {"max_steps": 17}),
        ({"interval": "step"}, {"limit_train_batches": 4}),
    ],
    ids=str,
)
def test_planned_steps_are_those_that_lightning_makes(config: dict[str, Any], trainer: dict[str, Any], tmp_path: Path) -> None:
    module = Counting(**config)
    (seen,) = fit(tmp_path, module, **trainer)
    assert seen.num_planned == pytest.approx(module.num_calls, abs=0.01)


def test_plan_names_steps_epochs_and_accumulation(tmp_path: Path) -> None:
    (seen,) = fit(tmp_path, Module(interval="step"), accumulate_grad_batches=4)
    assert (seen.num_optimizer_steps, seen.num_epochs, seen.accumulation, seen.length) == (9, 3, 4, 20)
    assert seen.num_without_limit is None


def test_plan_without_the_limit_of_batches(tmp_path: Path) -> None:
    (seen,) = fit(tmp_path, Module(interval="step"), limit_train_batches=4)
    assert (seen.num_planned, seen.num_without_limit) == (12, 30)


class Endless(IterableDataset[torch.Tensor]):
    def __iter__(self) -> Any:
        yield from torch.ones(20, 2)


def test_loader_without_a_length(tmp_path: Path) -> None:
    loader = DataLoader(Endless(), batch_size=2)
    assert fit(tmp_path, Module(interval="step"), loader) == []
    (steps,) = fit(tmp_path, Module(interval="step"), loader, max_steps=12, max_epochs=-1)
    assert steps.num_planned == 12
    assert fit(tmp_path, Module(), loader, max_steps=12, max_epochs=-1) == []
    (epochs,) = fit(tmp_path, Module(), loader)
    assert (epochs.num_planned, epochs.num_optimizer_steps) == (3, None)


class Plateau(Module):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": ReduceLROnPlateau(optimizer), "monitor": "loss"}}


class ByHand(Module):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return super().training_step(batch, batch_idx)


class OwnStep(Module):
    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        scheduler.step()


@pytest.mark.parametrize(
    ("module", "trainer"),
    [
        (Plateau, {}),
        (ByHand, {}),
        (OwnStep, {}),
        (Module, {"fast_dev_run": True}),
        (Module, {"overfit_batches": 2}),
        (Module, {"reload_dataloaders_every_n_epochs": 1}),
        (Module, {"callbacks": [StochasticWeightAveraging(0.1)]}),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)[:30]),
)
def test_what_cannot_be_judged(module: Callable[[], Module], trainer: dict[str, Any], tmp_path: Path) -> None:
    assert fit(tmp_path, module(), **trainer) == []


def test_plan_that_something_may_end(tmp_path: Path) -> None:
    (seen,) = fit(tmp_path, Module(), callbacks=[EarlyStopping("loss")])
    assert seen.may_end_sooner
    (seen,) = fit(tmp_path, Module(), max_time="00:00:10:00")
    assert seen.may_end_sooner


def test_resumed_run_counts_from_its_beginning(tmp_path: Path) -> None:
    first = pl.Trainer(**QUIET, max_epochs=2, default_root_dir=tmp_path)
    first.fit(Module(interval="step"), data())
    first.save_checkpoint(tmp_path / "half.ckpt")
    look = Look()
    again = pl.Trainer(**QUIET, max_epochs=5, default_root_dir=tmp_path, callbacks=[look])
    again.fit(Module(interval="step"), data(), ckpt_path=tmp_path / "half.ckpt", weights_only=False)
    assert [each.num_planned for each in look.seen] == [50]


def test_second_fit_counts_what_is_left(tmp_path: Path) -> None:
    look = Look()
    trainer = pl.Trainer(**QUIET, max_epochs=2, default_root_dir=tmp_path, callbacks=[look])
    trainer.fit(Module(interval="step"), data())
    trainer.fit_loop.max_epochs = 5
    trainer.fit(Module(interval="step"), data())
    assert [each.num_planned for each in look.seen] == [30]


def said(folder: Path, module: pl.LightningModule, **trainer: Any) -> list[Finding]:
    guard = NNGuard(select=["NNG505"])
    pl.Trainer(**{**QUIET, "max_epochs": 3, "default_root_dir": folder, **trainer}, callbacks=[guard]).fit(module, data())
    return guard.findings


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whole_run_under_guard(tmp_path: Path) -> None:
    assert said(tmp_path, Module(30, interval="step")) == []
    assert said(tmp_path, Module(3)) == []
    (finding,) = said(tmp_path, Module(3, interval="step"))
    assert (finding.code, finding.where, finding.step) == ("NNG505", "lr_schedulers[0]", 0)


class Broken(Module):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        scheduler = CosineAnnealingLR(optimizer, 3)
        del scheduler.T_max
        scheduler.step = lambda: None  # type: ignore[method-assign, assignment]
        return [optimizer], [scheduler]


class LooksAtFacts(pl.Callback):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.seen: list[Seen] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        wanted = {ScheduleSeen, OptimizerSettingSeen}
        facts = OptimizationFacts(trainer, pl_module, wanted, self.notes.append)
        self.seen = list(facts.start(At(step=0, epoch=0, batch_index=0)))


@pytest.mark.filterwarnings("ignore")
def test_scheduler_that_cannot_be_read_is_noted_and_the_rest_is_told(tmp_path: Path) -> None:
    look = LooksAtFacts()
    pl.Trainer(**QUIET, max_epochs=1, default_root_dir=tmp_path, callbacks=[look]).fit(Broken(), data())
    assert [note.partition(":")[0] for note in look.notes] == ["schedules turned off after an error"]
    assert [type(each) for each in look.seen] == [OptimizerSettingSeen]
