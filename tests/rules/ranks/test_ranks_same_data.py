from __future__ import annotations

import pytest

from lightning_nnguard.rules.ranks.ranks_same_data import RanksSameData
from tests.builders import rank_data, silent, speaks

RULE = RanksSameData()


def test_says_for_how_long() -> None:
    finding = speaks(
        RULE, rank_data(num_steps=6, num_different=5), "all 2 ranks", "last 6 sampled steps", "5 different batches (threshold 4)"
    )
    assert finding.evidence["num_different"] == 5


@pytest.mark.parametrize("num_different", [1, 4])
def test_silent_on_few_different_batches(num_different: int) -> None:
    silent(RULE, rank_data(num_steps=100, num_different=num_different))
