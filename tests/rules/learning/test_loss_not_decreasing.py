from __future__ import annotations

import pytest

from lightning_nnguard.rules.learning.loss_not_decreasing import LossNotDecreasing
from tests.builders import loss, silent, speaks

RULE = LossNotDecreasing()


def test_states_the_loss_and_chance():
    finding = speaks(RULE, loss(smoothed=2.3), "2.3 after 1200 steps", "1 of its chance level 2.3", "threshold 0.98")
    assert finding.evidence["smoothed"] == 2.3


@pytest.mark.parametrize(
    "changes",
    [
        {"num_steps": 200},
        {"num_steps": 200, "steps_per_epoch": None},
        {"num_steps": 20, "steps_per_epoch": 20},
        {"num_steps": 60, "steps_per_epoch": 50},
    ],
    ids=str,
)
def test_speaks_once_the_steps_suffice(changes):
    speaks(RULE, loss(smoothed=2.3, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"chance": 1.0, "smoothed": 0.98},  # exactly the threshold
        {"num_steps": 199},
        {"num_steps": 199, "steps_per_epoch": None},
        {"num_steps": 100, "steps_per_epoch": 19},
        {"chance": None},
        {"chance": 0.0},
        {"chance": -1.0},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, loss(**{"smoothed": 2.3, **changes}))
