from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.repeated_epoch_order import RepeatedEpochOrder
from tests.builders import epoch_order, silent, speaks

RULE = RepeatedEpochOrder()


def test_names_the_sampler_that_was_to_shuffle():
    words = "8 of the first 8 batches (256 samples)", "threshold 100%", "though RandomSampler shuffles"
    finding = speaks(RULE, epoch_order(num_equal=8), *words)
    assert finding.evidence["num_equal"] == 8


@pytest.mark.parametrize("changes", [{"sampler": ""}, {"bits": 63.0}, {"num_equal": 7}], ids=["not asked", "few kinds", "not all"])
def test_silent(changes):
    silent(RULE, epoch_order(**{"num_equal": 8, **changes}))


def test_the_boundaries():
    speaks(RULE, epoch_order(num_equal=8, bits=64.0))
    speaks(RepeatedEpochOrder(min_equal_fraction=0.5), epoch_order(num_equal=4))
    silent(RepeatedEpochOrder(min_equal_fraction=0.5), epoch_order(num_equal=3))
