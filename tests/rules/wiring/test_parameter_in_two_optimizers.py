from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.parameter_in_two_optimizers import ParameterInTwoOptimizers
from tests.builders import parameter, silent, speaks

RULE = ParameterInTwoOptimizers()


def test_says_how_often_a_gradient_was_used_again():
    seen = parameter(num_optimizers=3, num_repeats=2)
    finding = speaks(RULE, seen, "3 optimizers hold it", "2 of their steps", "another one had used before", "threshold 0")
    assert finding.evidence["num_repeats"] == 2


def test_says_that_two_optimizers_hold_the_same():
    seen = parameter(num_optimizers=2, num_alike=2)
    speaks(RULE, seen, "2 of them hold exactly the same parameters", "threshold 1")


@pytest.mark.parametrize(
    "changes",
    [
        {},  # a shared part with a backward pass for each
        {"num_repeats": 0, "num_alike": 1},  # the boundary
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, parameter(**{"num_optimizers": 2, **changes}))
