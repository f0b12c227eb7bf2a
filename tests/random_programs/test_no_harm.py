"""Whatever a program is made of: weights, buffers, losses and random state are those of a bare run, and no part fails."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning.pytorch as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from lightning_nnguard import NNGuard
from lightning_nnguard.callbacks.run import GuardRun
from tests.programs import hooks_in, random_state, seed, trainer
from tests.random_programs.programs import PLANS, Plan, Program, loader_of

#: Programs to try: `NNGUARD_RANDOM_PROGRAMS=10000 pytest tests/random_programs` tries ten thousand.
NUM_PROGRAMS = int(os.environ.get("NNGUARD_RANDOM_PROGRAMS", "60"))


class Users(pl.Callback):
    """A callback of the user's, before or after the guard."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        pl_module.log("noise", torch.rand(()))


@contextlib.contextmanager
def notes() -> Iterator[list[str]]:
    found: list[str] = []
    with patch.object(GuardRun, "note", lambda run, text: found.append(text)):
        yield found


def outcome(plan: Plan, folder: Path, *guards: NNGuard) -> dict[str, Any]:
    """Train a program and return all that a guard might change, and the error that ended it."""
    seed(3)
    module = Program(plan)
    callbacks = [*guards, Users()] if plan.is_guard_first else [Users(), *guards]
    made = trainer(
        *callbacks, max_epochs=2, precision=plan.precision, default_root_dir=folder,
        accumulate_grad_batches=1 if plan.is_manual else plan.accumulation,
    )  # fmt: skip
    data = loader_of(plan)
    try:
        made.fit(module, data, data if plan.validates else None)
        error = ""
    except Exception as caught:
        error = f"{type(caught).__name__}: {caught}"
    return {
        "error": error,
        "told": [repr(loss) for loss in module.told],
        "state": {name: value.contiguous().view(-1).view(torch.uint8).tolist() for name, value in module.state_dict().items()},
        "random": random_state(),
        "logged": {name: repr(value.item()) for name, value in made.logged_metrics.items()},
        "hooks": hooks_in(module, made.optimizers),
    }


@settings(max_examples=NUM_PROGRAMS, suppress_health_check=list(HealthCheck))
@given(plan=PLANS)
def test_a_guard_changes_nothing_and_no_part_of_it_fails(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    with warnings.catch_warnings(), notes() as found:
        warnings.simplefilter("ignore")
        bare = outcome(plan, folder)
        guarded = outcome(plan, folder, NNGuard(every_n_steps=plan.every_n_steps, ignore={}))
    assert guarded == bare
    assert [note for note in found if "turned off" in note or "failed" in note] == []
