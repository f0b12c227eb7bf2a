from __future__ import annotations

import pytest

from lightning_nnguard.rules.learning.stopped_early import StoppedEarly
from tests.builders import gap, silent, speaks

RULE = StoppedEarly()
FALLING = tuple(2.0 - 0.2 * i for i in range(8))
BAD = {"train": FALLING, "validation": FALLING, "final": True}


def test_says_how_far_it_fell_in_the_last_quarter():
    finding = speaks(RULE, gap(**BAD), "fell from 1 to 0.6 in the last 2 of 8 evaluations", "threshold 0.2")
    assert finding.evidence["fall"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    "changes",
    [
        {"final": False},
        {"mode": "max"},
        {"train": FALLING[:7], "validation": FALLING[:7]},
        {"validation": (2.0, 1.5, 1.2, 1.1, 1.0, 1.0, 0.9, 0.8)},
        {"validation": (2.0, 1.0, 1.9, 1.0, 2.0, 1.0, 1.9, 0.9)},
        {"train": (0.5, *FALLING[1:])},
        {"validation": tuple(each - 3 for each in FALLING)},
    ],
    ids=["still on", "accuracy", "too few", "boundary", "noise", "training flat", "negative"],
)
def test_silent(changes):
    silent(RULE, gap(**{**BAD, **changes}))
