from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.batch_as_time import BatchAsTime
from tests.builders import silent, speaks, time_axis

RULE = BatchAsTime()
FAULT = {"shape": (64, 20, 8), "is_batch": True}


def test_names_a_recurrence_over_samples():
    words = "lstm at net.py:12, `self.rnn(x)` recurs over dimension 0, the 64 samples", "its 20 steps are in dimension 1", "64x20x8"
    finding = speaks(RULE, time_axis(**FAULT), *words)
    assert finding.evidence["num_steps"] == 20


def test_names_an_attention_over_samples():
    speaks(RULE, time_axis(**FAULT, function="multi_head_attention_forward"), "attends over dimension 0")


@pytest.mark.parametrize("shapes", [((64, 1),), ((64, 3),), ((64,), (64, 5))])
def test_targets_with_values_of_their_own(shapes):
    speaks(RULE, time_axis(**{**FAULT, "target_shapes": shapes}), "the 64 samples")


@pytest.mark.parametrize(
    "seen",
    [
        time_axis(),
        time_axis(**{**FAULT, "is_batch": False}),
        time_axis(**{**FAULT, "shape": (64, 64, 8)}),
        time_axis(**{**FAULT, "shape": (64, 1, 8)}),
        time_axis(**{**FAULT, "shape": (1, 20, 8), "target_shapes": ((1,),)}),
        time_axis(**{**FAULT, "target_shapes": ()}),
        time_axis(**{**FAULT, "target_shapes": ((),)}),
        time_axis(**{**FAULT, "target_shapes": ((64, 20),)}),
        time_axis(**{**FAULT, "target_shapes": ((64 * 20,),)}),
        time_axis(**{**FAULT, "target_shapes": ((20,),)}),
        time_axis(**{**FAULT, "target_shapes": ((64,), (20,))}),
    ],
)
def test_is_silent_where_dimension_0_may_be_time(seen):
    silent(RULE, seen)


def test_the_threshold_is_the_first_that_speaks():
    speaks(BatchAsTime(min_steps=20), time_axis(**FAULT), "at least 20 steps")
    silent(BatchAsTime(min_steps=21), time_axis(**FAULT))
