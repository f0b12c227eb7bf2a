from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.unscaled_input import UnscaledInput
from tests.builders import layer_input, silent, speaks

RULE = UnscaledInput()
BYTES = {"mean": 77.0, "std": 96.0, "largest": 255.0, "max_feature_std": 96.0, "median_feature_std": 96.0, "num_features": 1}
KELVIN = {"mean": 290.0, "std": 8.0, "largest": 310.0, "max_feature_std": 8.0, "median_feature_std": 8.0}
SPREAD = {"std": 5.0, "max_feature_std": 25.0, "median_feature_std": 0.02}


def test_names_the_scale_the_tensor_and_the_line():
    words = "standard deviation of 96 (threshold 30)", "mean of 77", "`batch[0]`", "train.py:48, `self.net(x)`", "1280 values"
    finding = speaks(RULE, layer_input(**BYTES), *words)
    assert finding.evidence["std"] == 96.0


def test_few_values_suffice_where_the_scale_is_far_off():
    speaks(RULE, layer_input(**{**BYTES, "std": 91.0}, num_values=64), "standard deviation of 91")


def test_names_a_mean_far_from_zero():
    speaks(RULE, layer_input(**KELVIN), "mean of 290, 36.2 standard deviations from 0 (threshold 10)")
    speaks(RULE, layer_input(**{**KELVIN, "mean": -290.0}), "mean of -290")


def test_a_scale_that_a_normalisation_takes_out_is_only_mentioned():
    for scale in (BYTES, KELVIN):
        speaks(RULE, layer_input(**scale, is_normalised_next=True), severity=Severity.INFO)


def test_features_that_lie_far_apart_are_only_mentioned():
    speaks(RULE, layer_input(**SPREAD), "20 features", "1.25e+03 times the median", severity=Severity.INFO)


def test_a_call_without_a_line_is_named_by_its_layer():
    speaks(RULE, layer_input(**BYTES, source=None), "the input of `net.0`")


@pytest.mark.parametrize(
    "seen",
    [
        layer_input(**{**BYTES, "std": 30.0, "mean": 77.0}),
        layer_input(**{**KELVIN, "mean": 80.0}),
        layer_input(mean=10.0, std=0.9),
        layer_input(**{**SPREAD, "max_feature_std": 20.0}),
        layer_input(**{**SPREAD, "num_features": 3}),
        layer_input(**{**BYTES, "std": 90.0}, num_values=255),
        layer_input(**{**BYTES, "std": 91.0}, num_values=63),
        layer_input(mean=290.0, std=0.0, num_features=0, max_feature_std=0.0, median_feature_std=0.0),
        layer_input(mean=290.0, std=1e-5),
        layer_input(mean=0.0, std=0.0, num_features=0, max_feature_std=0.0, median_feature_std=0.0),
    ],
    ids=["deviation", "offset", "near", "spread", "few features", "few values", "too few values", "constant", "rounding", "zeros"],
)
def test_silent(seen):
    silent(RULE, seen)
