from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.train_val_overlap import TrainValOverlap
from tests.builders import overlap, silent, speaks

RULE = TrainValOverlap()


def leak(**changes):
    return overlap(**{"num_shared": 50, "num_repeated": 0, **changes})


def test_states_how_many_of_how_many():
    words = "50 of 1000 samples of val_dataloader (5.0%, threshold 0.5%)", "4000 training samples", "63-bit digests"
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


# -- samples that repeat within training, too


def copies(**changes):
    return leak(**{"num_shared": 400, "num_repeated": 2000, "num_unlikely": 400, "num_different": 2500, **changes})


def test_copies_that_no_chance_makes():
    words = (
        "400 of 1000 samples",
        "within training 50.0%",
        "400 of the shared ones hold real numbers that no two samples have by chance",
    )
    finding = speaks(RULE, copies(), *words, severity=Severity.WARNING)
    assert finding.evidence["num_unlikely"] == 400


@pytest.mark.parametrize(
    "changes",
    [{"num_unlikely": 0}, {"num_unlikely": 100}, {"num_different": 799}],
    ids=["tables of categories", "some natural duplicates", "a few samples again and again"],
)
def test_what_repeats_by_nature(changes):
    silent(RULE, copies(**changes))


def test_the_boundaries_of_copies():
    speaks(RULE, copies(num_unlikely=101, num_different=800), severity=Severity.WARNING)
    speaks(RULE, leak(num_unlikely=50), severity=Severity.ERROR)


def test_copies_in_a_loader_beside_a_clean_one():
    speaks(RULE, copies(num_clean_loaders=1), severity=Severity.INFO)
