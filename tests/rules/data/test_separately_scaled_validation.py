from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.separately_scaled_validation import SeparatelyScaledValidation
from tests.builders import input_shift, silent, speaks

RULE = SeparatelyScaledValidation()


def test_names_features_that_are_exactly_standardised():
    words = "100% of 20 features of `batch[0]`", "1000 samples of validation", "threshold 0.9", "training has 4000"
    speaks(RULE, input_shift(exact_fraction=1.0), *words)


def test_names_values_that_were_standardised_as_a_whole():
    speaks(RULE, input_shift(exact_fraction=1.0, num_features=0), "the values of `batch[0]`")


def test_the_boundary_speaks():
    speaks(RULE, input_shift(exact_fraction=0.9, num_validation=50))


@pytest.mark.parametrize(
    "change",
    [
        {"exact_fraction": 0.89},
        {"num_validation": 49},
        {"is_train_standardised": False},
        {"population": None},
        {"population": 1000},
    ],
    ids=["some", "few", "training is not", "unknown size", "the same data"],
)
def test_silent(change):
    silent(RULE, input_shift(**{"exact_fraction": 1.0, **change}))
