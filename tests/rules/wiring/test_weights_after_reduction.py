from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.weights_after_reduction import WeightsAfterReduction
from tests.builders import reduced_weights, silent, speaks

RULE = WeightsAfterReduction()


def test_weights_behind_the_mean():
    words = (
        "the mean of cross_entropy at train.py:48",
        "over 64 targets",
        "train.py:49, `loss * w`",
        "64 weights from 0.5 to 8",
        "threshold 0.001",
    )
    finding = speaks(RULE, reduced_weights(weight_min=0.5, weight_max=8.0), *words)
    assert finding.evidence["weight_max"] == 8.0


def test_a_mask_behind_the_sum():
    speaks(RULE, reduced_weights(weight_min=0.0, reduction="sum"), "the sum of cross_entropy")


@pytest.mark.parametrize(
    "seen",
    [
        reduced_weights(),
        reduced_weights(weight_min=0.0, weight_max=0.0),
        reduced_weights(weight_min=-2.0, weight_max=-2.0),
        reduced_weights(weight_min=0.5, num_targets=1),
    ],
    ids=["ones", "zeros", "negative", "one sample"],
)
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundaries():
    eighth = WeightsAfterReduction(max_spread=0.125)
    silent(eighth, reduced_weights(weight_min=0.875))
    speaks(eighth, reduced_weights(weight_min=0.87))
    silent(eighth, reduced_weights(weight_min=-1.0, weight_max=-0.88))
    speaks(RULE, reduced_weights(weight_min=0.5, num_targets=2))
