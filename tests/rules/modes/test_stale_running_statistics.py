from __future__ import annotations

import pytest

from lightning_nnguard.rules.modes.stale_running_statistics import StaleRunningStatistics
from tests.builders import running_statistics, silent, speaks

RULE = StaleRunningStatistics()
#: A tenth of the initial statistics is left after these steps: 0.999 ** 2300 = 0.1.
SLOW = {"momentum": 0.001, "step": 2300}


def test_names_a_mean_that_is_off():
    words = "5.2 running standard deviations off", "threshold 3", "32 channels, 64 samples", "momentum 0.001", "`self.norm(x)`"
    finding = speaks(RULE, running_statistics(shift=5.2, **SLOW), *words)
    assert finding.evidence["shift"] == 5.2


def test_names_a_variance_that_is_too_small():
    speaks(RULE, running_statistics(variance_ratio=40.0), "40 times the running one", "threshold 10")


def test_names_a_variance_that_is_too_large_and_was_never_updated():
    speaks(RULE, running_statistics(spread_ratio=0.03, is_untouched=True), "0.03 of the running variance", "threshold 0.1", "never")


def test_names_a_variance_that_is_too_large_because_of_its_momentum():
    speaks(RULE, running_statistics(spread_ratio=0.03, **SLOW), "0.03 of the running variance")


def test_judges_test_data_too():
    speaks(RULE, running_statistics(shift=5.2, stage="test"), "samples of a test batch")


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": 3.0},
        {"variance_ratio": 10.0},
        {"spread_ratio": 0.1, "is_untouched": True},
        {"variance_ratio": 0.01},  # a batch of one class
        {"spread_ratio": 0.01},  # moving averages of weights
        {"spread_ratio": 0.01, "momentum": 0.001, "step": 3000},  # 0.999 ** 3000 = 0.0497
        {"spread_ratio": 0.01, "momentum": 0.0},  # the average of all batches
        {"shift": 9.0, "step": 99},
        {"shift": 9.0, "num_samples": 31},
        {"shift": 9.0, "frozen": True},
        {"shift": 9.0, "stage": "predict"},
        {"shift": 9.0, "stage": "train"},
    ],
    ids=[
        "mean", "variance", "spread", "one class", "averaged weights", "settled", "cumulative", "early", "few", "frozen", "predict",
        "train",
    ],
)  # fmt: skip
def test_silent(changes):
    silent(RULE, running_statistics(**changes))


def test_the_first_step_and_the_smallest_batch_are_judged():
    speaks(RULE, running_statistics(shift=3.1, step=100, num_samples=32), "3.1")


def test_eval_mode_in_training_explains_it():
    assert "NNG603" in RULE.explained_by
