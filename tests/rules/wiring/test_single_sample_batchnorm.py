from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.single_sample_batchnorm import SingleSampleBatchnorm
from tests.builders import norm_call, silent, speaks

RULE = SingleSampleBatchnorm()


def test_counts_the_values_of_a_channel():
    words = "2 values a channel", "at least 3", "32 channels", "net.py:12"
    assert speaks(RULE, norm_call(num_values=2), *words).evidence["num_values"] == 2
    speaks(RULE, norm_call(num_values=1), "1 value a channel")


@pytest.mark.parametrize(
    "seen",
    [
        norm_call(),
        norm_call(num_values=3),
        norm_call(num_values=2, uses_batch=False),
        norm_call(num_values=2, function="instance_norm"),
        norm_call(num_values=2, is_short=True),
    ],
    ids=["many", "boundary", "eval mode", "instance norm", "last batch"],
)
def test_silent(seen):
    silent(RULE, seen)
