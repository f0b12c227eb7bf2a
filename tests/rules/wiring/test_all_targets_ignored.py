from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.all_targets_ignored import AllTargetsIgnored
from tests.builders import loss_call, silent, speaks

RULE = AllTargetsIgnored()


def ignored(**changes):
    return loss_call(**{"num_ignored": 64, "num_targets": 64, "value": None, "target_entropy": 0.0, **changes})


def test_names_the_loss_and_the_ignored_value():
    words = "all 64 targets of cross_entropy at train.py:48", "ignore_index -100", "threshold 1", "its mean is NaN"
    finding = speaks(RULE, ignored(), *words)
    assert finding.evidence["num_ignored"] == 64


def test_one_target_is_enough_where_the_mean_is_nan():
    speaks(RULE, ignored(num_targets=1, num_ignored=1), "all 1 targets")
    speaks(RULE, ignored(stage="validate", is_trained=False, num_trained=0))


def test_a_sum_that_is_all_that_is_trained():
    speaks(RULE, ignored(reduction="sum", value=0.0), "its sum is 0")


@pytest.mark.parametrize(
    "seen",
    [
        ignored(num_ignored=63, value=2.0),
        ignored(reduction="sum", value=0.0, num_trained=2),
        ignored(reduction="none", value=0.0, num_trained=2),
        ignored(reduction="sum", value=0.0, num_targets=63, num_ignored=63),
        ignored(reduction="sum", value=0.0, is_trained=False),
        loss_call(num_targets=0, num_ignored=0, ignore_index=None, function="mse_loss"),
    ],
    ids=["one target", "several tasks", "several tasks unreduced", "few", "evaluation", "no ignore_index"],
)
def test_silent(seen):
    silent(RULE, seen)
