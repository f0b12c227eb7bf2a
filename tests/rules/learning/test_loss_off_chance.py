from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.learning.loss_off_chance import LossOffChance
from tests.builders import loss, silent, speaks

RULE = LossOffChance()
REGRESSION = {"loss_name": "mse_loss", "chance": 1.0, "fresh": 2.0}


def test_says_by_how_much_classes_are_off():
    finding = speaks(RULE, loss(first=5.0), "first loss was 5", "starts at 2.3", "threshold 3.3", "cross_entropy")
    assert finding.evidence["first"] == 5.0


def test_says_by_how_much_a_regression_is_off():
    speaks(RULE, loss(first=6.1, **REGRESSION), "3 mean squares of the targets", "mse_loss")


def test_is_a_note_while_the_run_learns():
    assert RULE.gated


def test_below_chance_is_only_mentioned():
    speaks(RULE, loss(first=1.1), "already", severity=Severity.INFO)


@pytest.mark.parametrize(
    "seen",
    [
        loss(first=3.3),
        loss(first=3.9, chance=1.5, fresh=3.0),
        loss(first=1.15),
        loss(first=6.0, **REGRESSION),
        loss(first=1.1, chance_error=0.1),
        loss(first=50.0, fresh=None),
        loss(first=50.0, is_objective=False),
        loss(first=-4.0),
    ],
    ids=["boundary", "skewed labels", "lower boundary", "mean squares", "uncertain", "unknown", "one of several", "negative"],
)
def test_silent(seen):
    silent(RULE, seen)
