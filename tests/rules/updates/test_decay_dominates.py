from __future__ import annotations

import pytest

from lightning_nnguard.rules.updates.decay_dominates import DecayDominates
from tests.builders import decay, silent, speaks

RULE = DecayDominates()
ADAMW = {"kind": "AdamW", "pull": None, "decay": 20.0, "rate": 1e-3}


def test_share_of_a_step():
    words = "2.0e-02 of each weight with a step of AdamW", "threshold 0.01", "learning rate 0.001", "weight_decay 20"
    assert speaks(RULE, decay(**ADAMW, shrinkage=2e-2), *words).evidence["shrinkage"] == 2e-2


def test_norm_that_falls():
    words = "decayed weights of SGD have shrunk to 0.49 of their norm", "within 200 steps", "threshold 0.5"
    speaks(RULE, decay(norm_ratio=0.49), *words)


@pytest.mark.parametrize(
    "changes",
    [
        {**ADAMW, "shrinkage": 1e-2},
        {"norm_ratio": 0.5},
        {"norm_ratio": 0.1, "pull": 1.1},  # the matter of NNG712
        {"kind": "Adam", "shrinkage": None},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, decay(**changes))


def test_a_pull_at_the_limit_is_judged_here():
    speaks(RULE, decay(norm_ratio=0.1, pull=1.0))
