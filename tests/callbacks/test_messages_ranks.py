"""What ranks send for rules that need numbers alone: two all-reduces a sampled step, and nothing else whatever happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_nnguard import ActivationHistogram, GradientHistogram, NonFinite, TrainEvalMode
from lightning_nnguard.probe.schedule import is_sampled
from tests.callbacks.ranked import many_ranks
from tests.programs import Classifier, loader

EVERY = 3


@pytest.mark.parametrize("guard", [GradientHistogram, NonFinite])
@pytest.mark.parametrize("num", [2, 3])
def test_a_sampled_step_takes_two_all_reduces_and_an_unsampled_one_nothing(tmp_path: Path, guard: Any, num: int) -> None:
    ranks = many_ranks(num, Classifier, guard(every_n_steps=EVERY), tmp_path, train=loader(96), max_epochs=2)
    sampled = [step for step in range(2 * 96 // (8 * num)) if is_sampled(step, EVERY)]
    for rank in ranks:
        assert rank.sampled == sampled
        assert rank.in_steps() == {(step, "all_reduce"): 2 for step in sampled}


class Skips(Classifier):
    """Leaves out each of its dropout layers in half of the steps, as stochastic depth does."""

    def __init__(self) -> None:
        super().__init__()
        self.drops = nn.ModuleList(nn.Dropout(0.1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for drop in self.drops:
            x = drop(x) if not self.training or torch.rand(()) < 0.5 else x
        return super().forward(x)


@pytest.mark.parametrize("validation", [None, 24])
def test_how_layers_ran_is_gathered_only_when_one_runs_as_never_before(tmp_path: Path, validation: int | None) -> None:
    guard = TrainEvalMode(every_n_steps=EVERY)
    data = {"train": loader(192), "validation": validation and loader(validation)}
    ranks = many_ranks(2, Skips, guard, tmp_path, max_epochs=6, **data)
    for rank in ranks:
        gathers = [step for (step, kind) in rank.in_steps() if kind == "all_gather_object"]
        assert len(rank.sampled) > 20
        assert 1 <= len(gathers) <= 5  # four layers that are met one after the other, and batch norm
        assert max(gathers) < rank.sampled[12]


def test_rules_over_layers_also_gather_the_names_of_layers_once(tmp_path: Path) -> None:
    ranks = many_ranks(2, Classifier, ActivationHistogram(every_n_steps=EVERY), tmp_path, train=loader(96), max_epochs=3)
    for rank in ranks:
        assert len(rank.sampled) > 3
        assert rank.in_steps() == {(step, "all_reduce"): 2 for step in rank.sampled} | {(0, "all_gather_object"): 1}
