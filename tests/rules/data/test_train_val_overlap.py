from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.train_val_overlap import TrainValOverlap
from tests.builders import overlap, silent, speaks

RULE = TrainValOverlap()


def leak(**changes):
    return overlap(**{"num_shared": 50, "num_repeated": 0, **changes})


def test_states_how_many_of_how_many():
    words = "50 of 1000 samples of val_dataloader (5.0%, threshold 0.5%)", "4000 training samples", "64-bit digests"
    finding = speaks(RULE, leak(), *words)
    assert finding.evidence["shared_fraction"] == 0.05


@pytest.mark.parametrize(
    ("shared_by", "words"),
    [("data set", "the same items of the same data set"), ("tensors", "same tensors"), ("indices", "indices of their subsets")],
)
def test_says_how_it_is_known(shared_by, words):
    speaks(RULE, leak(shared_by=shared_by), words)


def test_items_that_are_the_same_need_no_statistics():
    speaks(RULE, leak(shared_by="indices", num_shared=1, num_validation=100, num_repeated=4000))


def test_another_loader_that_shares_nothing():
    speaks(RULE, leak(num_clean_loaders=1), severity=Severity.INFO)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_repeated": 80},
        {"num_repeated": 4000, "num_shared": 1000},
        {"num_shared": 9, "num_validation": 20},
        {"num_train": 63, "num_shared": 1000, "shared_by": "data set"},
    ],
    ids=["natural duplicates", "few kinds of rows", "few matches", "learnt by heart on purpose"],
)
def test_silent(changes):
    silent(RULE, leak(**changes))


def test_the_boundaries():
    speaks(RULE, leak(num_shared=10, num_validation=1999))
    silent(RULE, leak(num_shared=10, num_validation=2000))
    speaks(RULE, leak(num_shared=50, num_repeated=66))
    silent(RULE, leak(num_shared=60, num_repeated=80))
    speaks(RULE, leak(num_train=64))
