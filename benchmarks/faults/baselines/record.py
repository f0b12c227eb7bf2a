"""Runs a program under the recorder: once as it is, and once on its first batch alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from benchmarks.faults.baselines.recorder import Recorder
from benchmarks.faults.baselines.recording import TEN, Recording, Records
from benchmarks.faults.program import QUIET, Program

DENSE = 200
ONE_BATCH_STEPS = 1000  # TheDeepChecker: total_iters of its fit of one batch; the first 200 are watched closely


def record(make: Callable[[], Program], folder: Path, *, seed: int = 0, min_epochs: int = 0) -> Records:
    """Record a program.

    Args:
        make: Builds the program.
        folder: Where the runs may write.
        seed: Seed of everything random, set before each run.
        min_epochs: Epochs that the program trains at least.

    Raises:
        Exception: What ended the training before its first step was over, unless the program is known for it.
    """
    program = _made(make, seed)
    program = replace(program, epochs=max(program.epochs, min_epochs))
    recorder = Recorder(lambda step: step < DENSE or step % TEN == 0)
    error = _fit(program, recorder, folder, callbacks=program.trainer.get("callbacks", ()))
    expected = error is not None and bool(program.ends_with) and program.ends_with in str(error)
    if error is not None and not expected and not recorder.recording(is_whole=False).steps:
        raise error
    training = recorder.recording(is_whole=error is None)
    notes = () if error is None or expected else (f"training ended early: {type(error).__name__}: {error}",)
    one_batch, problem = _one_batch(make, folder, seed)
    return Records(training=training, one_batch=one_batch, notes=notes + problem)


def _one_batch(make: Callable[[], Program], folder: Path, seed: int) -> tuple[Recording | None, tuple[str, ...]]:
    program = _made(make, seed)
    if isinstance(program.train, pl.LightningDataModule):
        return None, ("no single batch: the program has a data module",)
    try:
        batch = next(iter(program.train))
    except Exception as error:
        return None, (f"no single batch: {type(error).__name__}: {error}",)
    if hasattr(program.train, "flattened"):  # a CombinedLoader gives the batch, its index, and the index of its loader
        batch = batch[0]
    alone = replace(program, train=_Repeated(batch), validation=None, epochs=1)
    recorder = Recorder(lambda step: step < DENSE, keeps_outputs=True)
    error = _fit(alone, recorder, folder, callbacks=())
    recording = recorder.recording(is_whole=error is None)
    expected = bool(program.ends_with) and program.ends_with in str(error)
    notes = () if error is None or expected else (f"single batch ended early: {type(error).__name__}: {error}",)
    return (recording if recording.steps else None), notes


class _Repeated:
    """A loader that gives one batch again and again."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return ONE_BATCH_STEPS

    def __iter__(self) -> Iterator[Any]:
        return repeat(self._batch, ONE_BATCH_STEPS)


def _made(make: Callable[[], Program], seed: int) -> Program:
    torch._dynamo.reset()
    pl.seed_everything(seed, verbose=False)
    return make()


def _fit(program: Program, recorder: Recorder, folder: Path, *, callbacks: Any) -> Exception | None:
    settings = {**QUIET, "max_epochs": program.epochs, "default_root_dir": folder, **program.trainer}
    settings |= {"callbacks": [recorder, *callbacks], "num_sanity_val_steps": 0}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pl.Trainer(**settings).fit(program.module, program.train, program.validation)
    except Exception as error:
        return error
    finally:
        recorder.close()
        torch._dynamo.reset()
    return None
