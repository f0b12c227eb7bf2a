from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.learning.underfitting import Underfitting, relative_change
from tests.builders import gap, silent, speaks

RULE = Underfitting()
FLAT = {"train": (2.3, 2.2, 2.2, 2.2), "validation": (2.3, 2.25, 2.25, 2.25), "final": True}


def test_states_the_loss_and_chance():
    words = ("train_loss ends at 2.2", "0.96 of its chance level 2.3", "threshold 0.9", "last 2 of 4 evaluations")
    finding = speaks(RULE, gap(**FLAT), *words, severity=Severity.INFO)
    assert finding.evidence["train"] == 2.2


@pytest.mark.parametrize(
    "changes",
    [
        {"final": False},
        {"mode": "max"},
        {"chance": None},
        {"chance": 0.0},
        {"train": (1.0, 0.9, 0.9, 0.9), "chance": 1.0},  # exactly the threshold
        {"train": (2.3, 2.3, 2.3, 2.2)},  # training still moves
        {"validation": (2.3, 2.3, 2.3, 2.2)},  # validation still moves
        {"train": (2.2,) * 3, "validation": (2.2,) * 3},  # too few
        {"train": (), "validation": ()},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, gap(**{**FLAT, **changes}))


def test_the_boundary_of_flatness_is_healthy():
    moving = {**FLAT, "train": (4.0, 4.0, 3.0, 5.0), "chance": 4.0}
    silent(Underfitting(min_change=0.5), gap(**moving))
    speaks(Underfitting(min_change=0.51), gap(**moving))


@pytest.mark.parametrize(("values", "change"), [((1.0, 1.0), 0.0), ((3.0, 5.0), 0.5), ((0.0, 0.0), 0.0), ((-1.0, 1.0), 1.0)])
def test_relative_change(values, change):
    assert relative_change(values) == change
