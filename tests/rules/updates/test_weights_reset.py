from __future__ import annotations

import pytest

from lightning_nnguard.rules.updates.weights_reset import WeightsReset
from tests.builders import reset, silent, speaks

RULE = WeightsReset()


def test_says_how_many_and_how_often() -> None:
    finding = speaks(
        RULE, reset(num_replaced=5, num_in_a_row=2), "5 of 8 weight matrices", "threshold 50%", "second epoch in a row"
    )
    assert finding.evidence["share"] == 5 / 8


@pytest.mark.parametrize(
    "changes", [{"num_replaced": 4, "num_in_a_row": 5}, {"num_replaced": 8, "num_in_a_row": 1}, {"num_compared": 0}],
    ids=["half of them", "once", "nothing compared"],
)  # fmt: skip
def test_silent(changes: dict[str, int]) -> None:
    silent(RULE, reset(**changes))
