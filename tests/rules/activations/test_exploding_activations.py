from __future__ import annotations

import pytest

from lightning_nnguard.rules.activations.exploding_activations import ExplodingActivations
from tests.builders import activation, silent, speaks

RULE = ExplodingActivations()


def test_states_the_growth():
    bad = activation(rms=100.0, rms_history=(1.0, 2.1, 4.5, 10.0, 21.0, 100.0))
    finding = speaks(RULE, bad, "from 1.0e+00 to 1.0e+02", "2x in each of 5 windows", "64 samples")
    assert finding.evidence["num_windows"] == 5


def test_judges_the_latest_windows():
    speaks(RULE, activation(rms_history=(9.0, 9.0, 1.0, 2.1, 4.5, 10.0, 21.0, 100.0)), "from 1.0e+00 to 1.0e+02")


def test_states_the_size():
    speaks(RULE, activation(rms=2e4, rms_history=(2e4,)), "2.0e+04", "threshold 1e+04", "4096 values of 64 samples")


def test_passes_the_gate():
    assert RULE.gated


@pytest.mark.parametrize(
    "changes",
    [
        {"rms": 1e4},
        {"rms_history": (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)},  # exactly doubled
        {"rms_history": (1.0, 3.0, 9.0, 27.0, 81.0)},  # four windows
        {"rms_history": (1.0, 3.0, 9.0, 9.0, 27.0, 81.0)},  # with a pause
        {"rms_history": (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)},  # from zero
        {"rms_history": ()},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, activation(**changes))
