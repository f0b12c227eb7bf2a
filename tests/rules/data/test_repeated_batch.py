from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.repeated_batch import RepeatedBatch
from tests.builders import repeated_batch, silent, speaks

RULE = RepeatedBatch()


def test_states_how_many_batches_and_samples():
    words = "14 batches in a row are equal", "32 samples of 1000", "threshold 9 batches"
    finding = speaks(RULE, repeated_batch(num_batches=14), *words)
    assert finding.evidence["num_batches"] == 14


def test_without_a_known_population():
    finding = speaks(RULE, repeated_batch(num_batches=14, population=None), "32 samples in the same order")
    assert " of " not in finding.message


def test_batches_that_are_handed_on_are_info():
    speaks(RULE, repeated_batch(num_batches=14, hands_on=True), severity=Severity.INFO)


@pytest.mark.parametrize(
    "changes", [{"bits": 39.0}, {"population": 32}, {"population": 20}], ids=["few kinds", "holds all", "holds all, padded"]
)
def test_silent(changes):
    silent(RULE, repeated_batch(**{"num_batches": 100, **changes}))


def test_the_boundaries():
    speaks(RULE, repeated_batch(num_batches=10, bits=40.0, population=33))
    silent(RULE, repeated_batch(num_batches=9, bits=40.0, population=33))
