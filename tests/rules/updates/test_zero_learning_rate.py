from __future__ import annotations

import pytest

from lightning_nnguard.rules.updates.zero_learning_rate import ZeroLearningRate
from tests.builders import rate, silent, speaks

RULE = ZeroLearningRate()
START = {"largest": 0.0, "had_rate": False, "zero_span": 101, "num_zero_samples": 8}
END = {"largest": 0.0, "had_rate": True, "zero_span": 501, "num_zero_samples": 8}


def test_rate_of_zero_from_the_beginning():
    finding = speaks(
        RULE, rate(**START), "from the beginning", "over 101 steps", "threshold 100", "1% of the run", "8 sampled steps"
    )
    assert finding.evidence["zero_span"] == 101


def test_share_of_a_short_run_counts():
    speaks(RULE, rate(**{**START, "zero_span": 11, "num_planned": 200.0}), "6% of the run", "threshold 5%")


def test_rate_of_zero_at_the_end():
    speaks(RULE, rate(**END), "since it was above 0", "5% of the run")


def test_more_than_one_epoch_counts():
    speaks(RULE, rate(**END, steps_per_epoch=500), "over 501 steps")
    speaks(RULE, rate(**START, steps_per_epoch=500), "from the beginning")


def test_run_of_unknown_length():
    speaks(RULE, rate(**{**END, "zero_span": 101, "num_planned": None}), "over 101 steps")


@pytest.mark.parametrize(
    "changes",
    [
        {**START, "zero_span": 100},
        {**START, "num_zero_samples": 2},
        {**START, "zero_span": 10, "num_planned": 200.0},
        {**END, "zero_span": 500},
        {**END, "zero_span": 100, "num_planned": None},
        {"zero_span": 0},
        {**END, "steps_per_epoch": 501},  # the lowest point of a schedule that steps once an epoch
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, rate(**changes))
