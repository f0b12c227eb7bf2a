from __future__ import annotations

import pytest

from lightning_nnguard.rules.updates.skipped_steps import SkippedSteps
from tests.builders import scaler, silent, speaks

RULE = SkippedSteps()


def test_says_how_many_steps_were_skipped():
    words = "skipped 11 of the latest 20 sampled steps", "threshold 0.5", "over 900 steps", "scale is 64"
    assert speaks(RULE, scaler(num_skipped=11, scale=64.0), *words).evidence["num_skipped"] == 11


def test_ten_samples_suffice():
    speaks(RULE, scaler(num_samples=10, num_skipped=6))


@pytest.mark.parametrize("changes", [{"num_skipped": 10}, {"num_samples": 9, "num_skipped": 9}, {"num_skipped": 0}], ids=str)
def test_silent(changes):
    silent(RULE, scaler(**changes))
