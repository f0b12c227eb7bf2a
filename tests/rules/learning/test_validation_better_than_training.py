from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.learning.validation_better_than_training import ValidationBetterThanTraining
from tests.builders import gap, silent, speaks

RULE = ValidationBetterThanTraining()
EASY = {"train": (2.0, 1.0, 1.0, 1.0), "validation": (2.0, 0.7, 0.6, 0.5)}


def test_states_both_losses():
    words = ("val_loss is 0.5", "train_loss is 1", "at most 0.70", "3 evaluations", "threshold 0.8")
    finding = speaks(RULE, gap(**EASY), *words, severity=Severity.INFO)
    assert finding.evidence["ratio"] == 0.7


@pytest.mark.parametrize(
    "changes",
    [
        {"validation": (2.0, 0.8, 0.6, 0.5)},  # exactly the threshold
        {"validation": (0.1, 0.9, 0.6, 0.5)},  # only two in a row
        {"train": (1.0, 1.0), "validation": (0.5, 0.5)},  # too few
        {"regularised": True},
        {"mode": "max"},
        {"train": (2.0, 0.0, 1.0, 1.0)},
        {"validation": (2.0, 0.7, 0.0, 0.5)},
        {"train": (-1.0, -1.0, -1.0, -1.0), "validation": (-2.0, -2.0, -2.0, -2.0)},
        {"train": (), "validation": ()},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, gap(**{**EASY, **changes}))
