"""The disk is full, or the logger fails: training goes on as without the guard, and one note says what is missing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor

from lightning_nnguard import NNGuard
from tests.no_harm.witness import Rows
from tests.programs import Classifier, loader, random_state, seed, trainer

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")


class Poisoned(Classifier):
    """Has a loss of NaN in one step, whose batch is kept; its weights stay good."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        return torch.log(-loss) if self.trainer.global_step == 5 else loss

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        for each in self.parameters():
            if each.grad is not None:
                each.grad.nan_to_num_(0.0)


def fit(folder: Path, logger: Any, *guards: Any) -> dict[str, Any]:
    """Return all that a run leaves."""
    seed(0)
    module = Poisoned()
    made = trainer(*guards, logger=logger, default_root_dir=folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.fit(module, loader(), loader(24))
    assert made.state.finished
    state = {name: each.numpy().tobytes() for name, each in module.state_dict().items()}
    return {**state, "random": random_state(), "metrics": {name: repr(float(each)) for name, each in made.callback_metrics.items()}}


def notes(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("note:")]


def test_a_full_disk_under_the_logbook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = fit(tmp_path / "bare", CSVLogger(tmp_path / "bare", name="run", version=0))
    folder = tmp_path / "guarded" / "run" / "version_0"
    folder.mkdir(parents=True)
    (folder / "nnguard.jsonl").symlink_to(FULL)
    guard = NNGuard(every_n_steps=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, of a folder that is there
        assert fit(tmp_path / "guarded", CSVLogger(tmp_path / "guarded", name="run", version=0), guard) == bare
    (note,) = notes(capsys.readouterr().err)
    assert "JsonLinesSink is off" in note
    assert "No space left" in note
    assert guard.findings[0].severity.name == "ERROR"


def test_a_full_disk_under_the_batch_that_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = fit(tmp_path / "bare", False)
    (tmp_path / "guarded").mkdir()
    (tmp_path / "guarded" / "nnguard_nonfinite_step5_rank0.pt").symlink_to(FULL)
    guard = NNGuard(every_n_steps=2)
    assert fit(tmp_path / "guarded", False, guard) == bare
    (note,) = notes(capsys.readouterr().err)
    assert "could not be saved" in note
    assert guard.findings[0].severity.name == "ERROR"


def test_a_log_directory_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = fit(tmp_path / "bare", Rows())
    (tmp_path / "file").write_text("")
    assert fit(tmp_path / "file" / "below", Rows(), NNGuard(every_n_steps=2)) == bare
    told = notes(capsys.readouterr().err)
    assert sum("JsonLinesSink is off" in note for note in told) == 1
    assert sum("could not be saved" in note for note in told) == 1
    assert len(told) == 2


class Full(Rows):
    """A logger whose disk is full when the guard logs something."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if not self.is_users(metrics):
            raise OSError(ENOSPC, "No space left on device")
        super().log_metrics(metrics, step)


def test_a_logger_that_raises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without, logger = Rows(), Full()
    bare = fit(tmp_path, without)
    guard = NNGuard(every_n_steps=2)
    assert fit(tmp_path, logger, guard) == bare
    assert logger.rows == without.rows
    (note,) = notes(capsys.readouterr().err)
    assert "MetricsSink is off" in note
    assert "No space left" in note
    assert guard.findings[0].severity.name == "ERROR"


def test_tensorboard_on_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bare = fit(tmp_path / "bare", TensorBoardLogger(tmp_path / "bare"))
    logger = TensorBoardLogger(tmp_path / "guarded")

    def add_image(*args: Any, **kwargs: Any) -> None:  # what the guard alone writes
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(logger.experiment, "add_image", add_image)
    assert fit(tmp_path / "guarded", logger, NNGuard(every_n_steps=2)) == bare
    (note,) = notes(capsys.readouterr().err)
    assert "TensorBoardSink is off" in note
