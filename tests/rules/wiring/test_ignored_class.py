from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.wiring.ignored_class import IgnoredClass
from tests.builders import loss_call, silent, speaks

RULE = IgnoredClass()


def fault(**changes):
    return loss_call(**{"ignore_index": 3, "num_ignored": 6, "is_per_sample": True, **changes})


def test_says_how_many_and_which():
    words = (
        "6 of 64 samples (9%, threshold 1%) have target 3, which is the ignore_index of cross_entropy at train.py:48",
        "one of its 10 classes",
    )
    assert speaks(RULE, fault(), *words).evidence["num_ignored"] == 6


@pytest.mark.parametrize("number", [0, 9])
def test_the_first_and_the_last_number_may_stand_for_unknown_labels(number):
    speaks(RULE, fault(ignore_index=number), severity=Severity.INFO)


@pytest.mark.parametrize(
    "seen",
    [
        loss_call(),
        fault(ignore_index=-100),
        fault(ignore_index=10),
        fault(ignore_index=None),
        fault(is_per_sample=False),
        fault(num_trained=2),
        fault(is_trained=False),
        fault(num_ignored=0),
        fault(num_ignored=1),
        fault(num_ignored=64),
        fault(num_ignored=6, num_targets=1000),
    ],
    ids=[
        "nothing is ignored",
        "a number that is no class",
        "a number behind the last class",
        "no such loss",
        "sequences, tokens",
        "several losses",
        "evaluation",
        "none here",
        "one",
        "all: NNG228",
        "a tiny share",
    ],
)
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundaries():
    silent(RULE, fault(num_ignored=2, num_targets=200))
    speaks(RULE, fault(num_ignored=2, num_targets=199))
    silent(IgnoredClass(min_ignored=7), fault())
