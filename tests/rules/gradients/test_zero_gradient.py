from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.gradients.zero_gradient import ZeroGradient
from tests.builders import gradient, silent, speaks

RULE = ZeroGradient()


def zero(**changes):
    return gradient(norm=0.0, rms=0.0, **{"zero_span": 80, "num_zero_samples": 5, **changes})


def test_states_the_span():
    finding = speaks(RULE, zero(), "exactly 0 over 80 steps", "threshold 50 steps or 1 epoch", "5 sampled steps")
    assert finding.evidence["zero_span"] == 80


@pytest.mark.parametrize("changes", [{"zero_span": 50}, {"zero_span": 30, "zero_epochs": 1, "num_zero_samples": 3}], ids=str)
def test_speaks_once_the_span_suffices(changes):
    speaks(RULE, zero(**changes))


def test_information_while_others_of_its_kind_learn():
    speaks(RULE, zero(has_live_twins=True), severity=Severity.INFO)
    speaks(RULE, zero(is_installed=True), severity=Severity.INFO)
    speaks(RULE, zero())


@pytest.mark.parametrize(
    "changes",
    [
        {"zero_span": 49},
        {"num_zero_samples": 4},
        {"zero_span": 30, "zero_epochs": 1, "num_zero_samples": 2},
        {"kind": "embedding"},
        {"kind": "bias", "num_dims": 1},
        {"kind": "norm", "num_dims": 1},
        {"num_dims": 1},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, zero(**changes))


def test_silent_on_the_smallest_gradient():
    silent(RULE, gradient(norm=1e-30, rms=1e-32))
