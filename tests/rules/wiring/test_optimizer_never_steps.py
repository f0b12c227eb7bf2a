from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.optimizer_never_steps import OptimizerNeverSteps
from tests.builders import no_step, silent, speaks

RULE = OptimizerNeverSteps()


def test_counts_batches_whose_gradients_are_thrown_away():
    finding = speaks(RULE, no_step(num_batches=20, num_clearings=20), "20 batches", "threshold 20", "cleared 20 times")
    assert finding.where == ""


def test_an_accumulation_may_be_long():
    speaks(RULE, no_step(num_batches=1000), "1000 batches", "threshold 1000 or 2 epochs")
    speaks(RULE, no_step(num_batches=20, num_epochs=2), "20 batches", "threshold 1000 or 2 epochs")


@pytest.mark.parametrize(
    "changes",
    [
        {"num_batches": 19, "num_clearings": 40, "num_epochs": 9},
        {"num_batches": 999, "num_clearings": 19, "num_epochs": 1},
        {"num_batches": 5000, "num_clearings": 5000, "num_epochs": 9, "has_moved": True},
        {"num_batches": 0},
    ],
    ids=["early", "accumulation", "optimizer of the user's own", "has stepped"],
)
def test_silent(changes):
    silent(RULE, no_step(**changes))
