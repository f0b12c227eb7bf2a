from __future__ import annotations

import pytest

from lightning_nnguard.rules.learning.regulariser_dominates import RegulariserDominates
from tests.builders import decay, silent, speaks

RULE = RegulariserDominates()


def test_says_how_hard_decay_pulls():
    words = "weight_decay 0.3 of SGD adds 4 times the gradient", "threshold 3", "5 sampled steps over 200 steps"
    assert speaks(RULE, decay(decay=0.3, pull=4.0), *words).evidence["pull"] == 4.0


def test_boundaries_of_what_is_judged():
    speaks(RULE, decay(pull=3.1, span=50, num_samples=5))


@pytest.mark.parametrize(
    "changes",
    [{"pull": 3.0}, {"pull": 9.0, "span": 49}, {"pull": 9.0, "num_samples": 4}, {"kind": "AdamW", "pull": None, "shrinkage": 0.5}],
    ids=str,
)
def test_silent(changes):
    silent(RULE, decay(**changes))
