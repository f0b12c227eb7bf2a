"""What ranks send for rules that need numbers alone: two all-reduces a sampled step, and nothing else whatever happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightning_nnguard import ActivationHistogram, GradientHistogram, NonFinite
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


def test_rules_over_layers_also_gather_the_names_of_layers_once(tmp_path: Path) -> None:
    ranks = many_ranks(2, Classifier, ActivationHistogram(every_n_steps=EVERY), tmp_path, train=loader(96), max_epochs=3)
    for rank in ranks:
        assert len(rank.sampled) > 3
        assert rank.in_steps() == {(step, "all_reduce"): 2 for step in rank.sampled} | {(0, "all_gather_object"): 1}
