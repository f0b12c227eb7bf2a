"""No growth: once its windows are full, a guard holds no more after thousands of steps than before.

Ten thousand steps: `NNGUARD_MEMORY_STEPS=10000 pytest tests/callbacks/test_memory.py`.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

import lightning_nnguard
from lightning_nnguard import NNGuard
from lightning_nnguard.callbacks.run import GuardRun
from tests.programs import Classifier, fit, loader

NUM_STEPS = int(os.environ.get("NNGUARD_MEMORY_STEPS", "2000"))
STEPS_PER_EPOCH = 25


@dataclass(frozen=True)
class Mark:
    """What is held at one step.

    Attributes:
        resident: Bytes of the process.
        num_tensors: Tensors that are reachable.
        num_elements: Their elements.
        snapshot: Where Python's objects were made.
    """

    resident: int
    num_tensors: int
    num_elements: int
    snapshot: tracemalloc.Snapshot = field(repr=False)


class Marks(pl.Callback):
    """Takes marks at some ends of epochs, before their validation."""

    def __init__(self, steps: set[int]) -> None:
        self.steps, self.found = steps, list[Mark]()

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step in self.steps:
            gc.collect()
            tensors = [each for each in gc.get_objects() if type(each) in {Tensor, torch.nn.Parameter}]
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.found.append(
                Mark(
                    resident=pages * os.sysconf("SC_PAGE_SIZE"),
                    num_tensors=len(tensors),
                    num_elements=sum(each.numel() for each in tensors),
                    snapshot=tracemalloc.take_snapshot(),
                )
            )


def marks(*guards: Any) -> tuple[Mark, Mark]:
    """Train and return what is held after half of the steps and after all."""
    watch = Marks({NUM_STEPS // 2, NUM_STEPS})
    tracemalloc.start(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit(
                Classifier(learning_rate=0.001), *guards, watch, train=loader(4 * STEPS_PER_EPOCH, batch_size=4),
                validation=loader(16), max_epochs=NUM_STEPS // STEPS_PER_EPOCH,
            )  # fmt: skip
    finally:
        tracemalloc.stop()
    first, last = watch.found
    return first, last


def test_a_guard_does_not_grow() -> None:
    first, last = marks(NNGuard(every_n_steps=5))
    num = NUM_STEPS - NUM_STEPS // 2
    own = [tracemalloc.Filter(True, str(Path(lightning_nnguard.__file__).parent / "*"))]
    grown = last.snapshot.filter_traces(own).compare_to(first.snapshot.filter_traces(own), "lineno")
    lines = "\n".join(map(str, grown[:8]))
    told = f"over {num} steps: {first} became {last}; most of it at\n{lines}"
    assert last.num_tensors <= first.num_tensors + 4, told  # what is pending at the moment comes and goes
    assert last.num_elements <= first.num_elements + 1000, told
    # One number for each step would take 32 bytes; a history of one number for each validation is kept.
    assert sum(each.size_diff for each in grown) < 20 * num, told
    assert last.resident - first.resident < 16_000_000 + 400 * num, told  # the snapshots are in it


def test_a_guard_that_grows_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    start = GuardRun.start_batch

    def keep(self: GuardRun, batch: Any, batch_index: int) -> None:
        start(self, batch, batch_index)
        kept.append((batch[0].clone(), float(batch_index)))

    monkeypatch.setattr(GuardRun, "start_batch", keep)
    monkeypatch.setattr("tests.callbacks.test_memory.NUM_STEPS", 200)
    first, last = marks(NNGuard())
    assert last.num_tensors >= first.num_tensors + 90
    assert last.num_elements >= first.num_elements + 90 * 24
