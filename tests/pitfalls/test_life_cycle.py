"""Pitfalls 15, 22, 23, 24: stages and searches, copies and memory, warnings of others, checkpoints."""

from __future__ import annotations

import gc
import pickle
import warnings
import weakref
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.tuner import Tuner
from torch import Tensor

from lightning_nnguard import NNGuard
from lightning_nnguard.observation import ActivationSeen, LossSeen, Seen
from tests.programs import Classifier, fit, hooks_in, loader, seed, trainer

# -- stages ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.pitfall(15)
def test_hooks_are_there_in_training_batches_alone(seen: list[Seen]) -> None:
    class Asks(Classifier):
        found: list[tuple[str, bool]]

        def shared_step(self, batch: Any, stage: str) -> Tensor:
            stage = "sanity" if self.trainer.sanity_checking else stage
            taken = {name.rpartition(".")[2] for name in hooks_in(self)}
            self.found.append((stage, "_forward_hooks" in taken))  # those that look at inputs are of evaluation, too
            assert self.net.training == (stage == "train")
            return super().shared_step(batch, stage)

    module = Asks()
    module.found = []
    fit(module, NNGuard(every_n_steps=1), validation=loader(24), val_check_interval=3)
    assert set(module.found) == {("sanity", False), ("val", False), ("train", True)}
    counts = [each.num_samples for each in seen if isinstance(each, ActivationSeen)]
    assert set(counts) == {8}  # never a batch of validation on top


def by_tuner(*guards: Any) -> Any:
    made = trainer(*guards)
    return made, lambda module: Tuner(made).lr_find(module, loader(), **SEARCH)


def by_callback_before(*guards: Any) -> Any:
    return trainer(LearningRateFinder(**RENAMED), *guards), None


def by_callback_behind(*guards: Any) -> Any:
    return trainer(*guards, LearningRateFinder(**RENAMED)), None


SEARCH: dict[str, Any] = {"num_training": 20, "early_stop_threshold": None, "attr_name": "learning_rate"}
RENAMED = {("num_training_steps" if name == "num_training" else name): value for name, value in SEARCH.items()}


@pytest.mark.pitfall(15)
@pytest.mark.parametrize("search", [by_tuner, by_callback_before, by_callback_behind])
def test_a_search_for_a_learning_rate_is_no_training(search: Any, seen: list[Seen]) -> None:
    """Its rates rise over eight decades on purpose: nothing is said of it, and the fit that follows is watched from step 0."""

    def weights(*guards: Any) -> dict[str, Tensor]:
        seed(3)
        seen.clear()
        module = Classifier()
        made, first = search(*guards)
        if first is not None:
            first(module)
        made.fit(module, loader())
        assert hooks_in(module, made.optimizers) == []
        return module.state_dict()

    bare, guard = weights(), NNGuard(every_n_steps=1)
    guarded = weights(guard)
    assert all(torch.equal(each, bare[name]) for name, each in guarded.items())
    assert guard._error == ""
    assert guard.findings == []
    steps = [each.step for each in seen if isinstance(each, LossSeen)]
    assert steps[-16:] == list(range(16))


@pytest.mark.pitfall(15)
@pytest.mark.parametrize("is_first", [False, True])
def test_a_search_for_a_batch_size_leaves_the_fit_to_be_watched(is_first: bool, seen: list[Seen]) -> None:
    class Sized(Classifier):
        batch_size = 2

        def train_dataloader(self) -> Any:
            return loader(64, self.batch_size)

        def val_dataloader(self) -> Any:
            return loader(24, self.batch_size)

    module, guard = Sized(), NNGuard(every_n_steps=1)
    finder = BatchSizeFinder(max_trials=2, steps_per_trial=2)
    made = trainer(*((guard, finder) if is_first else (finder, guard)), max_epochs=1)
    made.fit(module)
    assert made.state.finished
    assert guard._error == ""
    assert guard.findings == []
    assert hooks_in(module, made.optimizers) == []
    steps = [each.step for each in seen if isinstance(each, LossSeen)]
    assert steps[-made.global_step :] == list(range(made.global_step))


# -- copies and memory -----------------------------------------------------------------------------------------------------------


class Breaks(Classifier):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        if batch_idx == 5:
            raise ZeroDivisionError("theirs")
        return loss


@pytest.mark.pitfall(22)
@pytest.mark.parametrize("build", [Classifier, Breaks])
def test_the_model_is_not_kept_alive_by_the_guard(build: Any) -> None:
    guard = NNGuard(every_n_steps=1)

    def run() -> weakref.ref[Any]:
        module = build()
        made = trainer(guard, max_epochs=1)
        try:
            made.fit(module, loader(), loader(24))
        except ZeroDivisionError as error:
            error.__traceback__ = None
        return weakref.ref(module)

    gone = run()
    gc.collect()
    assert gone() is None
    assert len(pickle.dumps(guard)) < 20_000


# -- warnings of others ----------------------------------------------------------------------------------------------------------


class Warns(Classifier):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        warnings.warn("theirs", UserWarning, stacklevel=1)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        warnings.warn("theirs, too", UserWarning, stacklevel=1)
        super().validation_step(batch, batch_idx)


def told(*guards: Any) -> list[str]:
    """Return the user's own warnings that a run shows, where each is to come once."""
    found: list[str] = []
    globals().pop("__warningregistry__", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", message="theirs")
        warnings.showwarning = lambda message, *args, **kwargs: found.append(str(message))
        fit(Warns(), *guards, validation=loader(24))
    return sorted(found)


@pytest.mark.pitfall(23)
def test_the_users_warnings_are_not_told_again_at_each_step() -> None:
    assert told(NNGuard(every_n_steps=1, fair_batches=1)) == told() == ["theirs", "theirs, too"]


# -- checkpoints -----------------------------------------------------------------------------------------------------------------


def resumed(folder: Path, first: list[Any], second: list[Any]) -> dict[str, Tensor]:
    """Train for five of eight batches, and go on from a checkpoint that was written in the middle of the epoch."""
    folder.mkdir()
    seed(3)

    class Saves(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            if trainer.global_step == 5:
                trainer.save_checkpoint(folder / "middle.ckpt")

    fit(Classifier(dropout=0.0), *first, Saves(), max_steps=5, max_epochs=-1)
    seed(4)
    module = Classifier(dropout=0.0)
    made = trainer(*second, max_epochs=2)
    made.fit(module, loader(), ckpt_path=folder / "middle.ckpt")
    assert made.global_step == 16
    return module.state_dict()


@pytest.mark.pitfall(24)
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch ended")
def test_a_run_goes_on_in_the_middle_of_an_epoch_with_or_without_the_guard(tmp_path: Path, seen: list[Seen]) -> None:
    bare = resumed(tmp_path / "bare", [], [])
    cases = {
        "both": ([NNGuard(every_n_steps=1)], [NNGuard(every_n_steps=1)]),
        "absent on resume": ([NNGuard(every_n_steps=1)], []),
        "new on resume": ([], [NNGuard(every_n_steps=1)]),
    }
    for case, (first, second) in cases.items():
        seen.clear()
        state = resumed(tmp_path / case, first, second)
        assert all(torch.equal(each, bare[name]) for name, each in state.items()), case
        steps = sorted({each.step for each in seen if isinstance(each, LossSeen)})
        assert steps == [*(range(5) if first else ()), *(range(5, 16) if second else ())], case
        assert [guard._error for guard in (*first, *second)] == [""] * len((*first, *second))
