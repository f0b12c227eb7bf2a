from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.missing_nonlinearity import MissingNonlinearity
from tests.builders import silent, speaks, stacked_layers

RULE = MissingNonlinearity()
WIDE = {"num_in": 64, "num_between": 128, "num_out": 10}
CONVOLUTIONS = {"function": "conv2d", "function_before": "conv2d", "kernel": (3, 3), "kernel_before": (3, 3), "num_between": 64}


def test_names_both_layers():
    words = "linear takes the output of linear `head.0`", "128 features", "no fewer than the 10", "net.py:12, `self.head(x)`"
    finding = speaks(RULE, stacked_layers(**WIDE), *words)
    assert finding.evidence["num_between"] == 128


def test_as_many_as_before_and_behind_are_no_factorisation():
    speaks(RULE, stacked_layers(num_in=64, num_between=64, num_out=64), "64 features")


def test_names_convolutions():
    speaks(RULE, stacked_layers(**CONVOLUTIONS), "conv2d takes the output of conv2d")
    speaks(RULE, stacked_layers(**{**CONVOLUTIONS, "kernel": (1, 1)}))


@pytest.mark.parametrize(
    "seen",
    [
        stacked_layers(),
        stacked_layers(num_in=64, num_between=63, num_out=64),
        stacked_layers(**{**WIDE, "num_out": 129, "num_in": 129}),
        stacked_layers(**{**CONVOLUTIONS, "groups": 64}),
        stacked_layers(**{**CONVOLUTIONS, "groups_before": 64}),
        stacked_layers(**{**CONVOLUTIONS, "kernel": (1, 3), "kernel_before": (3, 1)}),
        stacked_layers(**{**WIDE, "is_gated": True}),
    ],
    ids=["bottleneck", "one fewer", "low rank", "depthwise", "depthwise before", "separable", "gates"],
)
def test_silent(seen):
    silent(RULE, seen)
