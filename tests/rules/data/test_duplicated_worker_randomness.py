from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.duplicated_worker_randomness import DuplicatedWorkerRandomness
from tests.builders import silent, speaks, worker_samples

RULE = DuplicatedWorkerRandomness()
EQUAL = {"is_iterable": False, "num_rounds": 4, "num_equal_rounds": 4, "bits": 900.0}


def test_names_a_generator_that_is_copied():
    words = "made with Noisy.rng (numpy Generator)", "each of 4 workers has a copy"
    finding = speaks(RULE, worker_samples(generator="Noisy.rng (numpy Generator)"), *words)
    assert finding.evidence["generator"] == "Noisy.rng (numpy Generator)"


def test_says_how_many_rounds_are_equal():
    speaks(RULE, worker_samples(**EQUAL), "4 workers made equal batches in 4 of 4 rounds (threshold 50%)")


@pytest.mark.parametrize(
    "changes",
    [
        {**EQUAL, "is_iterable": True},
        {**EQUAL, "bits": 39.0},
        {**EQUAL, "num_workers": 1, "generator": "Noisy.rng (numpy Generator)"},
    ],
    ids=["a stream is NNG119", "few kinds", "one worker"],
)
def test_silent(changes):
    silent(RULE, worker_samples(**changes))


def test_the_boundaries():
    speaks(RULE, worker_samples(**{**EQUAL, "num_equal_rounds": 2, "bits": 40.0}))
    silent(RULE, worker_samples(**{**EQUAL, "num_equal_rounds": 1, "bits": 40.0}))
