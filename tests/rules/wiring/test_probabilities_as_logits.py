from __future__ import annotations

from typing import Any

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.wiring.probabilities_as_logits import ProbabilitiesAsLogits
from tests.builders import loss_call, silent, speaks

RULE = ProbabilitiesAsLogits()
SOFTMAX: dict[str, Any] = {
    "input_min": 0.0, "input_max": 0.7, "max_sum_error": 1e-7, "max_log_sum_error": 9.0, "input_function": "softmax",
    "input_source": "net.py:12, `F.softmax(x, dim=1)`",
}  # fmt: skip
LOG_SOFTMAX: dict[str, Any] = {
    "input_min": -9.0,
    "input_max": 0.0,
    "max_sum_error": 30.0,
    "max_log_sum_error": 1e-7,
    "input_function": "log_softmax",
}
SIGMOID: dict[str, Any] = {
    "function": "binary_cross_entropy_with_logits", "input_min": 0.2, "input_max": 0.8, "num_values": 64, "max_sum_error": None,
    "max_log_sum_error": None, "input_function": "sigmoid",
}  # fmt: skip


def test_names_the_softmax_and_the_loss():
    words = "rows sum to 1", "threshold 0.001", "cross_entropy at train.py:48", "net.py:12, `F.softmax(x, dim=1)`"
    finding = speaks(RULE, loss_call(**SOFTMAX), *words)
    assert finding.evidence["num_rows"] == 64


def test_names_a_sigmoid_before_bce_with_logits():
    speaks(RULE, loss_call(**SIGMOID), "64 values all lie between 0.2 and 0.8")


def test_names_a_clamp_before_bce_with_logits():
    speaks(RULE, loss_call(**{**SIGMOID, "input_function": "clamp", "input_low": 0.0, "input_high": 1.0}), "64 values")


def test_log_probabilities_are_only_mentioned():
    speaks(RULE, loss_call(**LOG_SOFTMAX), "log-probabilities", severity=Severity.INFO)


@pytest.mark.parametrize(
    "seen",
    [
        loss_call(),
        loss_call(**{**SOFTMAX, "max_sum_error": 1.1e-3}),
        loss_call(**{**SOFTMAX, "input_min": -1e-3}),
        loss_call(**{**SOFTMAX, "num_rows": 7}),
        loss_call(**{**SOFTMAX, "num_values": 64}),
        loss_call(**{**SOFTMAX, "function": "nll_loss"}),
        loss_call(**{**LOG_SOFTMAX, "input_function": "linear"}),
        loss_call(**{**SIGMOID, "input_max": 1.1}),
        loss_call(**{**SIGMOID, "input_function": "linear"}),
        loss_call(**{**SIGMOID, "input_function": "parameter"}),
        loss_call(**{**SIGMOID, "input_function": "clamp", "input_low": 0.0}),
        loss_call(**{**SIGMOID, "num_values": 63}),
        loss_call(**{**SIGMOID, "function": "binary_cross_entropy"}),
    ],
    ids=[
        "logits",
        "sums",
        "negative",
        "rows",
        "one class",
        "nll",
        "linear",
        "above one",
        "fresh head",
        "parameter",
        "cut below",
        "values",
        "bce",
    ],
)
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundary_is_still_a_probability():
    speaks(RULE, loss_call(**{**SOFTMAX, "max_sum_error": 1e-3, "num_rows": 8}))


def squashed(**changes: Any):
    behind = {
        "squashed_by": "sigmoid", "squashed_source": "net.py:12, `self.head(x).sigmoid()`", "squashed_low": 0.0,
        "squashed_high": 1.0,
    }  # fmt: skip
    return loss_call(**{**behind, **changes})


def rectified(**changes: Any):
    return squashed(**{"squashed_by": "relu", "squashed_high": None, **changes})


def test_names_a_sigmoid_and_the_bound():
    words = "10 classes (at least 2), 64 rows, cut by sigmoid", "stays above 1.46", "net.py:12, `self.head(x).sigmoid()`"
    finding = speaks(RULE, squashed(), *words)
    assert finding.evidence["floor"] == pytest.approx(1.4612, abs=1e-4)


def test_the_bound_of_other_functions():
    speaks(RULE, squashed(squashed_by="tanh", squashed_low=-1.0), "stays above 0.797")
    speaks(RULE, squashed(function="nll_loss", num_values=128), "stays above 0.313")


def test_a_rectifier_is_a_warning():
    speaks(RULE, rectified(), "cut by relu", "no logit is below 0", severity=Severity.WARNING)


def test_a_bound_holds_whatever_else_uses_the_output():
    speaks(RULE, squashed(is_squashed_shared=True), "stays above")


def test_one_finding_for_probabilities_of_a_bounded_function():
    speaks(RULE, squashed(**SOFTMAX), "rows sum to 1")


@pytest.mark.parametrize(
    "seen",
    [
        squashed(squashed_by=""),
        squashed(is_trained=False),
        squashed(target_dtype="float32"),
        squashed(num_values=64),
        squashed(function="mse_loss"),
        rectified(is_squashed_shared=True),
    ],
    ids=["linear", "metric", "soft targets", "one class", "distance", "shared"],
)
def test_bounded_functions_that_are_healthy(seen):
    silent(RULE, seen)
