from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.train_val_shift import TrainValShift
from tests.builders import input_shift, silent, speaks

RULE = TrainValShift()
SCALE = {"std_ratio": 6.0, "std_ratio_error": 0.05, "validation_std": 6.0, "train_std": 1.0}
SHIFT = {"shift": 4.0, "shift_error": 0.1}


def test_names_another_scale():
    speaks(RULE, input_shift(**SCALE), "6 times the standard deviation (threshold 2), median over 20 features,", "1000 samples")
    speaks(RULE, input_shift(**{**SCALE, "std_ratio": 0.2}), "0.2 times")
    speaks(RULE, input_shift(**{**SCALE, "std_ratio": 0.0, "std_ratio_error": 0.0}), "0 times")


def test_a_hundred_samples_suffice_for_a_large_difference():
    speaks(RULE, input_shift(**SCALE, num_train=100, num_validation=100), "6 times the standard deviation")


def test_names_another_mean():
    speaks(RULE, input_shift(**SHIFT, num_features=0), "a mean 4 standard deviations away (threshold 0.5) of that in training")


def test_a_moderate_shift_is_only_mentioned():
    speaks(RULE, input_shift(shift=3.4, shift_error=0.1), "3.4 standard deviations", severity=Severity.INFO)
    speaks(RULE, input_shift(std_ratio=3.0, std_ratio_error=0.05), "3 times", severity=Severity.INFO)


@pytest.mark.parametrize(
    "seen",
    [
        input_shift(shift=0.5, shift_error=0.0),
        input_shift(shift=2.0, shift_error=0.375),
        input_shift(std_ratio=2.0, std_ratio_error=0.0),
        input_shift(std_ratio=0.5, std_ratio_error=0.0),
        input_shift(std_ratio=6.0, std_ratio_error=0.5),
        input_shift(**SCALE, num_train=99),
        input_shift(**SCALE, num_validation=99),
        input_shift(shift=3.4, shift_error=0.1, num_train=499),
        input_shift(shift=3.4, shift_error=0.1, num_validation=499),
        input_shift(**{**SCALE, "train_std": 0.0}),
    ],
    ids=[
        "shift",
        "uncertain shift",
        "twice",
        "half",
        "uncertain ratio",
        "training",
        "validation",
        "moderate, training",
        "moderate, validation",
        "constant",
    ],
)
def test_silent(seen):
    silent(RULE, seen)
