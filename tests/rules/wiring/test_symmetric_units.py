from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.symmetric_units import SymmetricUnits
from tests.builders import silent, speaks, symmetry

RULE = SymmetricUnits()


def test_says_how_many_units_and_how_far_apart():
    finding = speaks(RULE, symmetry(gap=2e-8, num_units=64, num_steps=20), "all 64 units", "after 20 steps", "2.0e-08", "1e-06")
    assert finding.evidence["gap"] == 2e-8


def test_wants_two_looks():
    assert RULE.patience == 2


def test_a_weight_that_started_at_zero_has_more_time():
    speaks(RULE, symmetry(gap=0.0, num_steps=200, zero_initialised=True), "after 200 steps)")


@pytest.mark.parametrize(
    "changes",
    [{"gap": 1e-6}, {"gap": 0.0, "num_steps": 19}, {"gap": 0.0, "num_steps": 199, "zero_initialised": True}],
    ids=["gap", "early", "from zero"],
)
def test_silent(changes):
    silent(RULE, symmetry(**changes))
