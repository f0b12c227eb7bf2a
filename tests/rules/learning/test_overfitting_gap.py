from __future__ import annotations

import pytest

from lightning_nnguard.rules.learning.overfitting_gap import OverfittingGap
from tests.builders import gap, silent, speaks

RULE = OverfittingGap()
TRAIN = (2.0, 1.5, 1.0, 0.7, 0.5, 0.3)
VALIDATION = (2.0, 1.6, 1.0, 1.2, 1.3, 1.5)


def test_states_both_curves_and_the_best_evaluation():
    words = ("val_loss is 1.5", "minimum 1", "at least 0.20", "for 3 evaluations", "threshold 0.1", "train_loss fell from 1 to 0.3")
    finding = speaks(RULE, gap(train=TRAIN, validation=VALIDATION), *words, "best evaluation 3 of 6")
    assert finding.evidence["best_evaluation"] == 3


def test_judges_negative_losses_by_their_size():
    speaks(RULE, gap(train=(1.0, 0.0, -1.0, -2.0), validation=(-10.0, -8.0, -7.0, -6.0)), "0.20")


@pytest.mark.parametrize(
    "changes",
    [
        {"validation": (2.0, 1.6, 1.0, 1.1, 1.1, 1.1)},  # exactly the threshold
        {"validation": (2.0, 1.6, 1.0, 1.2, 1.05, 1.5)},  # not three in a row
        {"validation": (2.0, 1.6, 1.4, 1.0, 1.2, 1.5)},  # only two
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
