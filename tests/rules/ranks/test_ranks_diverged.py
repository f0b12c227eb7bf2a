from __future__ import annotations

import pytest

from lightning_nnguard.rules.ranks.ranks_diverged import RanksDiverged
from tests.builders import replica, silent, speaks

RULE = RanksDiverged()


def test_names_the_parameter_and_the_difference() -> None:
    finding = speaks(RULE, replica(smallest=1.0, largest=1.25), "from 1 to 1.25", "0.2 apart (threshold 1e-05)", "64 elements")
    assert finding.where == "encoder.0.weight"
    assert finding.evidence["difference"] == pytest.approx(0.2)


@pytest.mark.parametrize(("smallest", "largest"), [(1.0, 1.0), (0.0, 0.0), (1.0 - 2**-17, 1.0)])
def test_silent_on_equal_copies(smallest: float, largest: float) -> None:
    silent(RULE, replica(smallest=smallest, largest=largest))


def test_a_copy_that_is_zero_differs() -> None:
    speaks(RULE, replica(smallest=0.0, largest=1e-6), "1 apart")
