"""Life cycles: ways to enter a Trainer, one after another."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from lightning.pytorch.tuner import Tuner
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data import DataLoader

from tests.no_harm.program import Program, Stream, options_of
from tests.no_harm.witness import Rows, Witness
from tests.programs import QUIET, loader, seed


@dataclass
class Run:
    """One run of a program, with a guard or without.

    Args:
        strategy: One of `STRATEGIES`.
        precision: One of `PRECISIONS`.
        mode: One of `MODES`.
        folder: Where witnesses write.
        guards: The guards, before the user's callbacks; after them when `is_last`.
        is_last: Whether guards stand after the user's callbacks.
    """

    strategy: str
    precision: str
    mode: str
    folder: Path
    guards: list[Any]
    is_last: bool = False

    def program(self, **changes: Any) -> Program:
        seed(1)
        return Program(self.mode, **changes)

    def trainer(self, *callbacks: Any, **changes: Any) -> pl.Trainer:
        callbacks = (*callbacks, *self.guards) if self.is_last else (*self.guards, *callbacks)
        witness = Witness(self.folder, seeds=self.strategy in {"ddp_fork", "ddp_spawn"})
        options = {**QUIET, "logger": Rows(), "default_root_dir": self.folder, "callbacks": [*callbacks, witness]}
        options |= {**options_of(self.strategy, self.precision, self.mode), **changes}
        return pl.Trainer(**{name: value for name, value in options.items() if value is not None})


def train(num: int = 32) -> DataLoader[Any]:
    return loader(num, batch_size=4, shuffle=True)


def validation() -> DataLoader[Any]:
    return loader(12, batch_size=4)


def fit_once(run: Run) -> None:
    """Two epochs, with a sanity check and validations."""
    run.trainer().fit(run.program(), train(), validation())


def fit_without_sanity_check(run: Run) -> None:
    run.trainer(num_sanity_val_steps=0, max_epochs=1, val_check_interval=3).fit(run.program(), train(), validation())


def fit_twice(run: Run) -> None:
    """The same module and the same guard, in two Trainers."""
    module = run.program()
    run.trainer(max_epochs=1).fit(module, train(), validation())
    run.trainer(max_epochs=1).fit(module, train(), validation())


def resume(run: Run) -> object:
    """Three steps, and in a new process, so to speak, the rest of their epoch and one more."""
    first = run.trainer(max_steps=3, max_epochs=-1)
    first.fit(run.program(), train(), validation())
    path = run.folder / "run.ckpt"
    first.save_checkpoint(path)
    run.trainer().fit(run.program(), train(), validation(), ckpt_path=path)
    return torch.load(path, weights_only=True)


def evaluate(run: Run) -> object:
    """A validation, a test and a prediction, each alone."""
    module = run.program()
    run.trainer().validate(module, validation())
    run.trainer().test(module, validation())
    return run.trainer().predict(module, validation())


def fast_dev_run(run: Run) -> None:
    run.trainer(fast_dev_run=2).fit(run.program(), train(), validation())


def overfit_batches(run: Run) -> None:
    run.trainer(overfit_batches=2, max_epochs=3).fit(run.program(), train(), validation())


def barebones(run: Run) -> None:
    logs = {name: None for name in QUIET if name.startswith("enable_") or name in {"log_every_n_steps", "logger"}}
    run.trainer(**logs, barebones=True).fit(run.program(), train(), validation())


def stream(run: Run) -> None:
    """A training set without length."""
    run.trainer().fit(run.program(), DataLoader(Stream(), batch_size=4), validation())


def several_loaders(run: Run) -> None:
    """Two loaders of training, of other lengths, and two of validation."""
    run.trainer().fit(run.program(), CombinedLoader({"a": train(), "b": train(16)}, "max_size_cycle"), [validation(), validation()])


def learning_rate_finder(run: Run) -> object:
    module = run.program()
    made = run.trainer()
    finder = Tuner(made).lr_find(module, train(), num_training=6, early_stop_threshold=None)
    made.fit(module, train(), validation())
    return finder.results if finder is not None else None


def batch_size_scaler(run: Run) -> object:
    module = run.program()
    made = run.trainer()
    found = Tuner(made).scale_batch_size(module, val_dataloaders=validation(), steps_per_trial=2, init_val=2, max_trials=1)
    made.fit(module, val_dataloaders=validation())
    return found


def stochastic_weight_averaging(run: Run) -> None:
    average = StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1, annealing_epochs=1)
    run.trainer(average, max_epochs=3).fit(run.program(), train(), validation())


def moving_average(run: Run) -> None:
    run.trainer(EMAWeightAveraging(decay=0.9)).fit(run.program(), train(), validation())


def interrupted(run: Run) -> None:
    """The user presses Ctrl+C in the middle of a batch."""
    handler = signal.getsignal(signal.SIGINT)
    with suppress(SystemExit):
        run.trainer().fit(run.program(interrupt=3), train(), validation())
    signal.signal(signal.SIGINT, handler)


CYCLES: dict[str, Callable[[Run], object]] = {
    "fit once": fit_once,
    "fit without sanity check": fit_without_sanity_check,
    "fit twice": fit_twice,
    "resume in mid-epoch": resume,
    "validate, test, predict": evaluate,
    "fast_dev_run": fast_dev_run,
    "overfit_batches": overfit_batches,
    "barebones": barebones,
    "no length": stream,
    "several loaders": several_loaders,
    "learning rate finder": learning_rate_finder,
    "batch size scaler": batch_size_scaler,
    "SWA": stochastic_weight_averaging,
    "EMA": moving_average,
    "KeyboardInterrupt": interrupted,
}
