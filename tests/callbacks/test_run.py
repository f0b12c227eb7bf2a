"""What the run takes from Lightning: steps, losses, sizes, metrics, at the right moments."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torchmetrics
from torch import Tensor

from lightning_nnguard import NNGuard, ValidationGap
from lightning_nnguard.observation import GapSeen, LossSeen, Seen
from lightning_nnguard.probe.schedule import is_sampled
from tests.programs import Classifier, fit, hooks_in, loader


class Losses(Classifier):
    """Remembers its losses by the step that they belong to; the last micro-batch of a step counts."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: dict[int, float] = {}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.losses[self.trainer.fit_loop.epoch_loop._batches_that_stepped] = float(loss.detach())
        return loss


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}, {"accumulate_grad_batches": 3}])
def test_losses_are_those_of_the_training_step(options: dict[str, Any], seen: list[Seen]) -> None:
    module = Losses()
    fit(module, NNGuard(every_n_steps=2), **options)
    last = [each for each in seen if isinstance(each, LossSeen)][-1]
    expected = [loss for step, loss in sorted(module.losses.items()) if step <= last.step]
    assert last.recent == pytest.approx(expected, rel=1e-5)
    assert last.steps_per_epoch == -(-8 // options.get("accumulate_grad_batches", 1))
    assert last.loss_name == "cross_entropy"
    assert last.chance == pytest.approx(1.0986, abs=0.05)


@pytest.mark.pitfall(24)
def test_a_resumed_run_goes_on_counting(tmp_path: Any, seen: list[Seen]) -> None:
    first = fit(Classifier(), NNGuard(every_n_steps=2), max_epochs=1)
    first.save_checkpoint(tmp_path / "run.ckpt")
    seen.clear()
    made = pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[NNGuard(every_n_steps=2)],
    )  # fmt: skip
    made.fit(Classifier(), loader(), ckpt_path=tmp_path / "run.ckpt")
    steps = sorted({each.step for each in seen if isinstance(each, LossSeen)})
    assert steps == [step for step in range(8, 16) if is_sampled(step, 2)]


class Looks(pl.Callback):
    """Stands last, and looks for hooks wherever user code runs."""

    def look(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        assert hooks_in(pl_module, trainer.optimizers) == []
        assert not torch.overrides._get_current_function_mode_stack()

    on_train_batch_end = on_train_epoch_end = on_validation_start = on_validation_batch_end = on_validation_end = on_train_end = (
        look
    )


def test_hooks_live_only_within_a_sampled_batch() -> None:
    fit(Classifier(), NNGuard(every_n_steps=1), Looks(), validation=loader(24), val_check_interval=3)


# -- the gap ---------------------------------------------------------------------------------------------------------------------


class Numbered(Classifier):
    """Logs the number of the epoch, so that pairs that do not belong together show. Where it logs is chosen."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        loss = super().shared_step(batch, stage)
        if self.where == "step":
            self.log(f"{stage}_score", float(self.current_epoch), on_epoch=True, on_step=False)
        return loss

    def on_train_epoch_end(self) -> None:
        if self.where == "epoch end":
            self.log("train_score", float(self.current_epoch))

    def on_validation_epoch_end(self) -> None:
        if self.where == "epoch end":
            self.log("val_score", float(self.current_epoch))


@pytest.mark.parametrize("where", ["step", "epoch end"])
@pytest.mark.parametrize("num_epochs", [1, 4])
def test_training_and_validation_values_are_of_the_same_epoch(where: str, num_epochs: int, seen: list[Seen]) -> None:
    guard = ValidationGap()
    fit(Numbered(where), guard, validation=loader(24), max_epochs=num_epochs)
    gaps = [each for each in seen if isinstance(each, GapSeen) and each.where == "score"]
    assert gaps
    assert gaps[-1].validation == tuple(map(float, range(num_epochs)))
    assert gaps[-1].train == gaps[-1].validation
    assert gaps[-1].mode == "max"
    assert gaps[-1].final
    assert [each.epoch for each in gaps if not each.final] == list(range(num_epochs - 1))


def test_validation_in_the_middle_of_an_epoch_is_compared_with_the_latest_losses(seen: list[Seen]) -> None:
    fit(Classifier(), NNGuard(every_n_steps=1), validation=loader(24), val_check_interval=2, max_epochs=2)
    gaps = [each for each in seen if isinstance(each, GapSeen) and each.where == "loss"]
    assert len(gaps[-1].train) == len(gaps[-1].validation) == 8
    assert all(0.1 < loss < 2 for loss in gaps[-1].train)


class Metric(Classifier):
    """Logs a torchmetrics object, with state over batches."""

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = torchmetrics.classification.MulticlassAccuracy(3, average="micro")

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.accuracy(self(batch[0]), batch[1])
        self.log("val_accuracy", self.accuracy)
        super().validation_step(batch, batch_idx)


def test_the_fair_gap_is_what_validation_says_of_the_training_batches(seen: list[Seen]) -> None:
    module, guard = Metric(), ValidationGap(fair_batches=4)

    class Truth(pl.Callback):
        values: list[float] = []  # noqa: RUF012

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                x, y = (each[:32] for each in loader().dataset.tensors)  # type: ignore[attr-defined]
                with torch.no_grad():
                    self.values.append(float((pl_module(x).argmax(1) == y).float().mean()))

    fit(module, guard, Truth(), validation=loader(24), max_epochs=3)
    (gap,) = (each for each in seen if isinstance(each, GapSeen) and each.where == "accuracy" and each.final)
    assert gap.fair
    assert gap.train == pytest.approx(tuple(Truth.values))


def test_metrics_that_are_missing_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    fit(Classifier(), ValidationGap(pairs={"loss": ("my_loss", "val_loss")}), validation=loader(24), max_epochs=3)
    told = capsys.readouterr().err
    assert told.count("'my_loss' was not logged") == 1
