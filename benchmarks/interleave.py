"""One fit in which a callback is switched on and off every few steps, and every step is timed.

Guarded and bare steps are neighbours in time, so that a machine that grows slower for a while slows both. The callback is put into
the Trainer's list and taken out of it again: a bare step does not even pay for Lightning's call of an idle callback.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.progress import Progress
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.models import Work

#: The guard samples more densely before this step; all timing is done from here on.
FIRST_STEP = 200
_REFRESH_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the fit: blocks of steps with the callback and blocks without it, by turns.

    Attributes:
        name: What it is measured for.
        block: Steps in a block.
        num_pairs: Pairs of blocks, one of each kind.
        counts_syncs: Whether host syncs are counted; the times of such steps mean nothing.
        min_pairs: Pairs after which the phase may end early, when it has taken `max_seconds`.
        max_seconds: Time after which it does; None for never.
    """

    name: str
    block: int
    num_pairs: int
    counts_syncs: bool = False
    min_pairs: int = 2
    max_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step.

    Attributes:
        phase: Name of its phase.
        block: Number of its block in the phase.
        is_on: Whether the callback was there.
        number: Number by which the guard decides whether to sample it.
        seconds: From the start of its batch to the start of the next.
        own_seconds: What the callback says that it took of them.
        num_syncs: Values read by the host; 0 where they were not counted.
        num_bytes: Size of the logs at its end; only at the end of a phase.
    """

    phase: str
    block: int
    is_on: bool
    number: int
    seconds: float
    own_seconds: float
    num_syncs: int
    num_bytes: int


class SyncCount(TorchDispatchMode):
    """Counts how often the host reads a value of a tensor (`item`, `float`, `bool`, a branch on a tensor)."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class Interleaver(Callback):
    """Carries out phases, one step after the other. It must be the Trainer's first callback.

    Args:
        subject: The callback that is switched; `attach` and `detach` are called if it has them.
        phases: What to do.
        clock: Returns seconds.
        own_seconds: Returns what the callback has taken so far.
        begin: Called at the beginning of a phase.
        progress: Called once for every block.
    """

    def __init__(
        self,
        subject: Callback,
        phases: Sequence[Phase],
        *,
        clock: Callable[[], float],
        own_seconds: Callable[[], float],
        begin: Callable[[Phase], None],
        progress: Callable[[], None],
    ) -> None:
        self._subject, self._clock, self._own_seconds, self._begin, self._progress = subject, clock, own_seconds, begin, progress
        self._plan = self._plan_of(phases)
        self._current: tuple[Phase, int, bool, bool] | None = None
        self._is_on: bool | None = None
        self._counter: SyncCount | None = None
        self._start = self._own_start = 0.0
        self.steps: list[Step] = []

    def _plan_of(self, phases: Sequence[Phase]) -> Iterator[tuple[Phase, int, bool, bool]]:
        """Iterate over steps: phase, number of the block, whether it is on, whether the phase ends with it."""
        for phase in phases:
            start = perf_counter()
            for pair in range(phase.num_pairs):
                late = phase.max_seconds is not None and perf_counter() - start > phase.max_seconds and pair + 1 >= phase.min_pairs
                for half in range(2):
                    # on off off on: what grows slower all the time slows both alike
                    is_on = half == pair % 2
                    is_end = half == 1 and (late or pair + 1 == phase.num_pairs)
                    for step in range(phase.block):
                        yield phase, 2 * pair + half, is_on, is_end and step + 1 == phase.block
                if late:
                    break

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.fit_loop.epoch_loop._batches_that_stepped = FIRST_STEP

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        now = self._clock()
        previous, loop = self._current, trainer.fit_loop.epoch_loop
        if previous is not None:
            self._record(trainer, previous, now, loop._batches_that_stepped - 1)
        self._current = current = next(self._plan, None)
        if current is None:
            trainer.should_stop = True
            self._switch(trainer, pl_module, True)
            return
        phase, block, is_on, _ = current
        if previous is None or previous[0] is not phase:
            # the guard's windows begin at multiples of their length: let a block be one window
            loop._batches_that_stepped += -loop._batches_that_stepped % phase.block
            self._begin(phase)
        if previous is None or previous[1] != block:
            self._progress()
        self._switch(trainer, pl_module, is_on)
        if phase.counts_syncs:
            self._counter = SyncCount()
            self._counter.__enter__()
        self._own_start = self._own_seconds()
        self._start = self._clock()

    def _record(self, trainer: Trainer, step: tuple[Phase, int, bool, bool], now: float, number: int) -> None:
        phase, block, is_on, is_end = step
        num_syncs = 0
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            num_syncs, self._counter = self._counter.count, None
        self.steps.append(
            Step(
                phase=phase.name, block=block, is_on=is_on, number=number, seconds=now - self._start,
                own_seconds=self._own_seconds() - self._own_start, num_syncs=num_syncs,
                num_bytes=_size_of_logs(trainer) if is_end else 0,
            )
        )  # fmt: skip

    def _switch(self, trainer: Trainer, module: LightningModule, on: bool) -> None:
        if on == self._is_on:
            return
        self._is_on = on
        if not on:
            trainer.callbacks.remove(self._subject)
        elif self._subject not in trainer.callbacks:
            trainer.callbacks.append(self._subject)
        change = getattr(self._subject, "attach" if on else "detach", None)
        if change is not None:
            change(trainer, module)


def _size_of_logs(trainer: Trainer) -> int:
    for logger in trainer.loggers:
        logger.experiment.flush()
    return sum(path.stat().st_size for path in Path(trainer.default_root_dir).rglob("*") if path.is_file())


def blocks_of(steps: Sequence[Step], phase: str) -> dict[int, list[Step]]:
    """Return the steps of a phase by the number of their block."""
    blocks: dict[int, list[Step]] = {}
    for step in steps:
        if step.phase == phase:
            blocks.setdefault(step.block, []).append(step)
    return blocks


def median_seconds(steps: Sequence[Step]) -> float:
    """Return the median time of steps."""
    return statistics.median(step.seconds for step in steps)


def run(
    work: Work,
    subject: Callback,
    phases: Sequence[Phase],
    *,
    clock: Callable[[], float] = perf_counter,
    own_seconds: Callable[[], float] = lambda: 0.0,
    begin: Callable[[Phase], None] = lambda phase: None,
    progress: tuple[Progress, str] | None = None,
) -> list[Step]:
    """Train with a callback that is switched on and off, and return all steps.

    Args:
        work: What to train.
        subject: The callback.
        phases: When it is there.
        clock: Returns seconds.
        own_seconds: Returns what the callback has taken so far.
        begin: Called at the beginning of a phase.
        progress: Where to show progress, and under which name.
    """
    torch.manual_seed(0)
    module, batches = work.make()
    bar, name = progress or (Progress(disable=True), "")
    with bar if progress is None else nullcontext(), tempfile.TemporaryDirectory() as folder:
        task = bar.add_task(name, total=2 * sum(phase.num_pairs for phase in phases))
        shown = 0.0

        def advance() -> None:
            nonlocal shown
            bar.advance(task)
            if perf_counter() - shown > _REFRESH_SECONDS:
                bar.refresh()
                shown = perf_counter()

        interleaver = Interleaver(subject, phases, clock=clock, own_seconds=own_seconds, begin=begin, progress=advance)
        trainer = Trainer(
            accelerator="cpu",
            callbacks=[interleaver, subject],
            logger=TensorBoardLogger(folder),
            max_epochs=-1,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=folder,
        )
        trainer.fit(module, batches)
        bar.update(task, completed=2 * sum(phase.num_pairs for phase in phases), refresh=True)
    return interleaver.steps
