from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.updates.average_not_updated import AverageNotUpdated
from tests.builders import average, silent, speaks

RULE = AverageNotUpdated()
STILL = {"num_updates": 0, "num_moved": 0}


def test_average_that_stood_still():
    finding = speaks(
        RULE, average(**STILL), "AveragedModel", "after 0 updates", "none of 4 parameters", "1200 steps", "threshold 100"
    )
    assert finding.evidence["num_updates"] == 0


def test_average_that_counts_no_updates():
    speaks(RULE, average(num_updates=None, num_moved=0, kind="Sequential"), "Sequential is what it was before training: none of 4")


def test_average_that_replaces_the_trained_weights():
    """Behind the callback that has put it in place, the trained weights are gone, so nothing is said of sources."""
    words = "has replaced the trained weights"
    speaks(RULE, average(**STILL, replaces=True, num_sources_moved=0), words, severity=Severity.ERROR)


@pytest.mark.parametrize(
    "changes",
    [
        {**STILL, "num_steps": 99},
        {"num_updates": 0, "num_moved": 1},  # somebody else moves it
        {"num_updates": 1, "num_moved": 0},
        {**STILL, "num_sources_moved": 3},  # nothing to average: frozen
        {**STILL, "num_compared": 0, "num_sources_moved": 0},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, average(**changes))


def test_a_hundred_steps_suffice():
    speaks(RULE, average(**STILL, num_steps=100))
