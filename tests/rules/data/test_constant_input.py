from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.constant_input import ConstantInput
from tests.builders import constant_input, silent, speaks

RULE = ConstantInput()
ALIKE = {"num_batches": 5, "num_alike": 5, "num_telling": 5, "num_samples": 320, "num_constant": 64}
COLUMNS = {"num_features": 64, "num_constant": 33, "num_samples": 1000, "zero_fraction": 0.1}


def test_names_samples_that_are_alike():
    speaks(RULE, constant_input(**ALIKE), "`batch[0]` is the same for all samples of a batch", "5 of 5 batches", "320 samples")


def test_constant_columns_are_only_mentioned():
    speaks(RULE, constant_input(**COLUMNS), "33 columns of 64", "1000 samples", "threshold 0.5", severity=Severity.INFO)


@pytest.mark.parametrize(
    "seen",
    [
        constant_input(**{**ALIKE, "num_telling": 4}),
        constant_input(**{**ALIKE, "num_telling": 0}),
        constant_input(**{**ALIKE, "num_batches": 4, "num_alike": 4, "num_telling": 4}),
        constant_input(**{**COLUMNS, "num_constant": 32}),
        constant_input(**{**COLUMNS, "num_samples": 999}),
        constant_input(**{**COLUMNS, "num_features": 7, "num_constant": 7}),
        constant_input(**{**COLUMNS, "zero_fraction": 0.5}),
        constant_input(num_features=0, num_constant=0),
    ],
    ids=["one differs", "targets are alike", "few batches", "half", "few samples", "narrow", "sparse", "no table"],
)
def test_silent(seen):
    silent(RULE, seen)
