from __future__ import annotations

import random

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.learning.overfitting_gap import OverfittingGap
from tests.builders import gap, silent, speaks

RULE = OverfittingGap()
TRAIN = (2.0, 1.5, 1.0, 0.7, 0.5, 0.3)
VALIDATION = (2.0, 1.6, 1.0, 1.4, 1.5, 1.6)


def test_states_both_curves_and_the_best_evaluation():
    words = (
        "val_loss is 1.6",
        "minimum 1",
        "at least 0.40",
        "for 3 evaluations",
        "threshold 0.18",
        "train_loss fell from 1 to 0.3",
    )
    finding = speaks(RULE, gap(train=TRAIN, validation=VALIDATION), *words, "best evaluation 3 of 6")
    assert finding.evidence["best_evaluation"] == 3


def test_needs_no_chance():
    speaks(RULE, gap(train=TRAIN, validation=VALIDATION, rough_chance=None))


def test_judges_negative_losses_by_their_size():
    speaks(RULE, gap(train=(1.0, 0.0, -1.0, -2.0), validation=(-10.0, -8.0, -7.0, -6.0), rough_chance=None), "0.20")


def test_is_info_while_hardly_anything_of_what_was_gained_is_lost():
    validation = (2.0, 0.5, 0.05, 0.051, 0.15, 0.16, 0.17)
    speaks(RULE, gap(train=(*TRAIN, 0.2), validation=validation), severity=Severity.INFO)


def test_the_first_training_loss_counts_where_chance_is_not_known():
    validation = (0.1, 0.05, 0.02, 0.1, 0.1, 0.1)
    speaks(RULE, gap(train=TRAIN, validation=validation, rough_chance=None), severity=Severity.INFO)
    speaks(RULE, gap(train=(0.5, 0.4, 0.3, 0.2, 0.1, 0.05), validation=validation, rough_chance=None))


def test_the_exact_share_of_the_gain_is_info():
    speaks(RULE, gap(train=TRAIN, validation=(2.0, 1.0, 1.2, 1.2, 1.2), rough_chance=3.0), severity=Severity.INFO)
    speaks(RULE, gap(train=TRAIN, validation=(2.0, 1.0, 1.21, 1.21, 1.21), rough_chance=3.0))


def curve(num: int, noise: float, rise: float = 0.0) -> tuple[float, ...]:
    """A loss that falls to 1, scatters there from the twentieth evaluation on, and rises at the end."""
    scatter = random.Random(1)
    return tuple(
        1 + max(0, 20 - i) / 10 + (noise * scatter.gauss(0, 1) if i >= 20 else 0) + rise * (i > num - 15) for i in range(num)
    )


@pytest.mark.parametrize("num", range(20, 120, 10))
def test_the_least_of_many_noisy_values_is_no_minimum(num: int):
    train = tuple(2 - i / 100 for i in range(num))
    silent(RULE, gap(train=train, validation=curve(num, 0.15), rough_chance=None))


def test_a_rise_beyond_the_noise_of_many_values():
    train = tuple(2 - i / 200 for i in range(100))
    speaks(RULE, gap(train=train, validation=curve(100, 0.05, rise=0.8), rough_chance=None), "for 10 evaluations")


@pytest.mark.parametrize(
    "changes",
    [
        {
            "validation": (1.2, 1.1, 1.0, 1.1, 1.1, 1.1),
            "train": (1.2, 1.1, 1.0, 0.9, 0.8, 0.7),
            "chance": None,
        },  # exactly the threshold
        {"validation": (2.0, 1.6, 1.0, 1.1, 1.1, 1.1)},  # exactly the threshold, with chance known
        {"validation": (2.0, 1.6, 1.0, 1.5, 1.05, 1.5)},  # not three in a row
        {"validation": (2.0, 1.6, 1.4, 1.0, 1.5, 1.5)},  # only two
        {"validation": (2.0, 1.0, 1.6, 1.3, 1.7, 1.3)},  # that is how much they differ
        {"validation": (1.0, 1.2, 1.3), "train": (1.0, 0.5, 0.3)},  # no three after the minimum
        {"train": (2.0, 1.5, 1.0, 0.7, 0.9, 1.0)},  # training does not fall: no overfitting
        {"validation": (2.0, 1.6, 0.0, 1.2, 1.3, 1.5)},  # a share of zero means nothing
        {"mode": "max"},
        {"validation": (), "train": ()},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, gap(**{"train": TRAIN, "validation": VALIDATION, **changes}))
