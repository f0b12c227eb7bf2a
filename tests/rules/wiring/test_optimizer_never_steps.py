from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.wiring.optimizer_never_steps import OptimizerNeverSteps
from tests.builders import no_step, silent, speaks

RULE = OptimizerNeverSteps()


def test_counts_batches_whose_gradients_are_thrown_away():
    finding = speaks(RULE, no_step(num_batches=20, num_clearings=20), "20 batches", "threshold 20", "cleared 20 times")
    assert finding.where == ""


def test_an_accumulation_may_be_long():
    speaks(RULE, no_step(num_batches=1000), "1000 batches", "threshold 1000 or 2 epochs")
    speaks(RULE, no_step(num_batches=20, num_epochs=2), "20 batches", "threshold 1000 or 2 epochs")


def one(**changes):
    seen = {
        "where": "optimizers[1]", "optimizer": "Adam", "parameters": ("head.weight", "head.bias"), "num_parameters": 4,
        "num_batches": 100, "num_clearings": 100, "num_epochs": 1,
    }  # fmt: skip
    return no_step(**{**seen, **changes})


def test_names_the_one_optimizer_that_does_not_step():
    words = "this Adam of 4 parameters (`head.weight`, `head.bias`, ...)", "100 batches and 1 whole epoch", "threshold 100 in a"
    finding = speaks(RULE, one(), *words, severity=Severity.INFO)
    assert finding.where == "optimizers[1]"
    speaks(RULE, one(num_batches=20, num_clearings=10, num_epochs=2), "threshold 20 in 2 epochs", severity=Severity.INFO)
    speaks(RULE, one(num_clearings=0, num_epochs=2), "threshold 100", severity=Severity.INFO)


@pytest.mark.parametrize(("num_epochs", "severity"), [(4, Severity.INFO), (5, Severity.WARNING)])
def test_one_optimizer_may_wait_for_a_later_stage(num_epochs, severity):
    speaks(RULE, one(num_epochs=num_epochs), severity=severity)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_batches": 99},
        {"num_epochs": 0},
        {"num_clearings": 49},
        {"num_batches": 19, "num_clearings": 19, "num_epochs": 2},
        {"num_batches": 99, "num_clearings": 49, "num_epochs": 9},
        {"has_moved": True},
        {"num_batches": 0, "num_clearings": 0, "num_epochs": 9},
    ],
    ids=["99 batches", "no epoch", "accumulates", "few batches", "accumulates for long", "moves", "has stepped"],
)
def test_silent_on_one_optimizer(changes):
    silent(RULE, one(**changes))


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
