from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.ranks.ranks_same_randomness import RanksSameRandomness
from tests.builders import random_state, silent, speaks

RULE = RanksSameRandomness()


def test_says_how_often() -> None:
    finding = speaks(RULE, random_state(num_steps=3, world_size=8), "all 8 ranks", "3 sampled steps (threshold 2)")
    assert finding.severity is Severity.INFO


@pytest.mark.parametrize("num_steps", [0, 1, 2])
def test_silent_on_few_steps(num_steps: int) -> None:
    silent(RULE, random_state(num_steps=num_steps))
