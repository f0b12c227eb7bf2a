from __future__ import annotations

from typing import Any

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.activations.collapsed_output import CollapsedOutput
from tests.builders import output_spread, silent, speaks

RULE = CollapsedOutput()
CONSTANT: dict[str, Any] = {"ratio": 1e-8, "ratio_median": 1e-8, "ratio_max": 3e-8, "num_samples": 8, "span": 70, "step": 210}
NEAR_THE_MEAN: dict[str, Any] = {**CONSTANT, "ratio": 0.01, "ratio_median": 0.01, "ratio_max": 0.012}


def test_constant_outputs_are_a_warning():
    words = "mse_loss at train.py:48, `F.mse_loss(x, y)`", "spread 1e-08", "64 rows", "at most 3e-08 in 8", "threshold 0.001"
    finding = speaks(RULE, output_spread(**CONSTANT), *words)
    assert finding.evidence["ratio_max"] == 3e-8


def test_outputs_near_their_mean_are_only_mentioned():
    speaks(RULE, output_spread(**NEAR_THE_MEAN), "0.012", "threshold 0.02", severity=Severity.INFO)
    speaks(RULE, output_spread(**{**CONSTANT, "ratio_max": 1e-3}), severity=Severity.INFO)


def test_a_function_without_a_line_is_named():
    speaks(RULE, output_spread(**CONSTANT, source=None), "outputs that mse_loss gets")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {**NEAR_THE_MEAN, "ratio_max": 0.02},
        {**CONSTANT, "step": 199},
        {**CONSTANT, "num_samples": 3},
        {**CONSTANT, "span": 49},
        {**CONSTANT, "in_warmup": True},
    ],
    ids=["healthy", "boundary", "too early", "too few", "too near", "warm-up"],
)
def test_silent(changes):
    silent(RULE, output_spread(**changes))


def test_the_boundaries_of_what_is_needed_suffice():
    speaks(RULE, output_spread(**{**CONSTANT, "step": 200, "num_samples": 4, "span": 50}))


def test_it_is_a_symptom_that_a_learning_run_may_show():
    assert RULE.gated
    assert RULE.patience == 2
