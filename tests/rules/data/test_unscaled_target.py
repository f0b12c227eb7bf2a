from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.unscaled_target import UnscaledTarget
from tests.builders import loss_call, silent, speaks

RULE = UnscaledTarget()


def prices(**changes):
    seen = {
        "function": "mse_loss", "source": "train.py:48, `F.mse_loss(self(x), y)`", "input_min": -0.3, "input_max": 0.4,
        "input_mean": 0.1, "target_mean": 2e5, "target_std": 8e4, "target_entropy": 0.0,
    }  # fmt: skip
    return loss_call(**{**seen, **changes})


def years(**changes):
    return prices(**{"target_mean": 2000.0, "target_std": 20.0, **changes})


def test_states_the_deviation():
    words = "mse_loss at train.py:48", "a standard deviation of 8e+04 (threshold 100)", "64 values", "between -0.3 and 0.4"
    finding = speaks(RULE, prices(), *words)
    assert finding.evidence["target_std"] == 8e4


def test_states_the_offset():
    speaks(RULE, years(), "a mean of 2e+03, 100 standard deviations from 0 (threshold 10)")
    speaks(RULE, years(target_mean=-2000.0), "a mean of -2e+03")


@pytest.mark.parametrize("function", ["l1_loss", "smooth_l1_loss", "huber_loss"])
def test_other_distances(function):
    speaks(RULE, prices(function=function), function)


@pytest.mark.parametrize(
    "seen",
    [
        prices(target_std=1.0, target_mean=0.0),
        prices(input_min=-1e4, input_max=1e5),
        prices(is_trained=False),
        prices(is_target_made=True),
        prices(input_function="exp"),
        prices(function="cross_entropy"),
        prices(num_targets=15),
        prices(target_std=0.0),
        years(input_mean=1990.0),
        years(target_mean=1.0, target_std=0.02),
    ],
    ids=[
        "scaled", "scale of its own", "evaluation", "bootstrapped", "exponential", "classes", "few", "constant", "bias at the mean",
        "near zero",
    ],
)  # fmt: skip
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundaries_are_healthy():
    silent(RULE, prices(target_mean=0.0, target_std=100.0))
    speaks(RULE, prices(target_mean=0.0, target_std=101.0))
    silent(RULE, prices(target_mean=0.0, target_std=200.0, input_min=-10.0, input_max=10.0))
    silent(RULE, years(target_mean=200.0, target_std=20.0, input_mean=0.0))
    speaks(RULE, years(target_mean=201.0, target_std=20.0, input_mean=0.0))
    silent(RULE, years(target_mean=10.0, target_std=0.5, input_mean=0.0))
    speaks(RULE, years(target_mean=10.1, target_std=0.5, input_mean=0.0))
