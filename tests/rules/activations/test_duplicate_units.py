from __future__ import annotations

import pytest

from lightning_nnguard.rules.activations.duplicate_units import DuplicateUnits
from tests.builders import duplicate_units, silent, speaks

RULE = DuplicateUnits()


def test_names_the_share_of_doubles():
    finding = speaks(RULE, duplicate_units(num_alike=48), "48 of 64 units (0.75, threshold 0.5)", "above 0.999 after 200 steps")
    assert finding.evidence["alike_fraction"] == 0.75


def test_a_sample_is_called_one():
    speaks(RULE, duplicate_units(num_alike=48, num_units=4096), "48 of 64 units (a sample of 4096)")


@pytest.mark.parametrize(
    "changes", [{}, {"num_alike": 32}, {"num_alike": 7, "num_compared": 7}], ids=["healthy", "boundary", "too few units"]
)
def test_silent(changes):
    silent(RULE, duplicate_units(**changes))


def test_enough_units():
    speaks(RULE, duplicate_units(num_alike=33))
    speaks(RULE, duplicate_units(num_alike=5, num_compared=8))
