from __future__ import annotations

import pytest

from lightning_nnguard.rules.updates.update_below_precision import UpdateBelowPrecision
from tests.builders import precision, silent, speaks

RULE = UpdateBelowPrecision()
LOST = {"num_unchanged": 1000}


def test_says_how_many_elements_stand_still():
    words = "1000 of 1024 bfloat16 elements", "in 60 steps", "98%, threshold 90%", "5 sampled steps", "learning rate 1.0e-03"
    assert speaks(RULE, precision(**LOST), *words).evidence["num_values"] == 1024


def test_boundaries_of_what_is_judged():
    speaks(RULE, precision(num_values=64, num_unchanged=64, span=50, rate=5e-4))


@pytest.mark.parametrize(
    "changes",
    [
        {"num_values": 1000, "num_unchanged": 900},
        {"num_values": 63, "num_unchanged": 63},
        {**LOST, "span": 49},
        {**LOST, "rate": 4.9e-4},  # a schedule that has decayed, or a warm-up
        {**LOST, "rate": 0.0, "largest_rate": 0.0},
        {"num_values": 0, "num_unchanged": 0},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, precision(**changes))
