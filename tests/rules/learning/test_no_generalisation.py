from __future__ import annotations

import pytest

from lightning_nnguard.rules.learning.no_generalisation import NoGeneralisation
from tests.builders import gap, silent, speaks

RULE = NoGeneralisation()
BAD = {"train": (2.0, 1.5, 1.0), "validation": (2.4, 2.6, 3.0), "chance": 2.3}


def test_says_both_losses_and_chance():
    finding = speaks(RULE, gap(**BAD), "train_loss is 1", "0.43 of its chance level 2.3", "best of 3 values of val_loss is 2.4")
    assert finding.evidence["validation_min"] == 2.4


def test_a_validation_loss_that_falls_by_less_than_half():
    speaks(RULE, gap(**{**BAD, "validation": (8.0, 4.01, 6.0)}), "no better than chance")


def test_validation_at_chance_is_no_better():
    speaks(RULE, gap(**{**BAD, "validation": (2.3, 2.6, 3.0)}), "no better than chance")


@pytest.mark.parametrize(
    "changes",
    [
        {"validation": (2.29, 2.6, 3.0)},
        {"train": (2.0, 1.9, 0.7 * 2.3)},
        {"train": (2.0, 1.0), "validation": (2.4, 2.6)},
        {"chance": None},
        {"mode": "max"},
        {"validation": (8.0, 4.0, 6.0)},
    ],
    ids=["overfitting", "boundary", "too few", "unknown", "accuracy", "half of the first"],
)
def test_silent(changes):
    silent(RULE, gap(**{**BAD, **changes}))
