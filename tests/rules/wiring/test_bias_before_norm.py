from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.bias_before_norm import BiasBeforeNorm
from tests.builders import norm_call, silent, speaks

RULE = BiasBeforeNorm()
BIAS = {"bias": "encoder.0.bias", "num_biases": 32}


@pytest.mark.parametrize("function", ["batch_norm", "instance_norm"])
def test_names_the_bias(function):
    words = f"{function} takes 32 values of `encoder.0.bias` out again", "threshold 0", "net.py:12"
    assert speaks(RULE, norm_call(**BIAS, function=function), *words).evidence["num_biases"] == 32


@pytest.mark.parametrize("seen", [norm_call(), norm_call(**BIAS, uses_batch=False)], ids=["no bias", "eval mode"])
def test_silent(seen):
    silent(RULE, seen)
