from __future__ import annotations

import pytest

from lightning_nnguard.rules.activations.half_precision_headroom import HalfPrecisionHeadroom
from tests.builders import FLOAT16_LARGEST, activation, silent, speaks

RULE = HalfPrecisionHeadroom()


@pytest.mark.parametrize("extreme", [{"high": 40000.0}, {"low": -40000.0}], ids=str)
def test_states_the_extreme(extreme):
    bad = activation(dtype="float16", largest=FLOAT16_LARGEST, **extreme)
    finding = speaks(RULE, bad, "4e+04", "0.61 of the largest float16", "threshold 0.5", "64 samples")
    assert finding.evidence["extreme"] == 40000.0


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "float16", "high": FLOAT16_LARGEST / 2},
        {"dtype": "bfloat16", "high": 60000.0},
        {"dtype": "float32", "high": 60000.0},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, activation(largest=FLOAT16_LARGEST, **changes))
