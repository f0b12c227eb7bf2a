from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.duplicate_samples import DuplicateSamples
from tests.builders import silent, speaks, worker_samples

RULE = DuplicateSamples()


def copied(**changes):
    return worker_samples(**{"num_samples": 400, "num_across": 300, "num_within": 0, **changes})


def test_says_how_many_come_from_another_worker():
    words = "300 of 400 samples (75%, threshold 10%)", "another of the 4 workers", "0 by the same one"
    finding = speaks(RULE, copied(), *words)
    assert finding.evidence["duplicate_fraction"] == 0.75


@pytest.mark.parametrize(
    "changes",
    [{"is_iterable": False}, {"num_within": 100}, {"num_samples": 63, "num_across": 60}],
    ids=["NNG113's", "a replay buffer", "few samples"],
)
def test_silent(changes):
    silent(RULE, copied(**changes))


def test_the_boundaries():
    silent(RULE, copied(num_across=40))
    speaks(RULE, copied(num_across=41))
    speaks(RULE, copied(num_across=301, num_within=100))
    silent(RULE, copied(num_across=300, num_within=100))
    speaks(RULE, copied(num_samples=64, num_across=48))
