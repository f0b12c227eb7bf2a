from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.label_shift import LabelShift
from tests.builders import label_shift, silent, speaks

RULE = LabelShift()


def shifted(**changes):
    seen = {"distance": 0.83, "chance": 0.11, "label": 2, "train_share": 0.09, "validation_share": 0.92, "num_validation": 36}
    return label_shift(**{**seen, **changes})


def test_names_the_distance_and_the_class():
    words = (
        "36 validation labels differ from 1000 of training by 0.83",
        "threshold 0.6",
        "at most 0.11",
        "class 2 has 92.0%",
        "9.0%",
    )
    finding = speaks(RULE, shifted(), *words)
    assert "has not shown" not in finding.message
    assert finding.evidence["distance"] == 0.83


def test_classes_that_training_has_not_shown():
    speaks(RULE, shifted(unseen_fraction=0.5), "50.0% are of classes that training has not shown")


def test_few_labels_are_enough():
    speaks(RULE, shifted(num_validation=30, num_train=30, num_classes=1000))


@pytest.mark.parametrize(
    "change",
    [
        {"distance": 0.6},
        {"distance": 0.75, "chance": 0.45},
        {"num_validation": 29},
        {"num_train": 29},
        {"num_classes": 1001},
        {"is_rebalanced": True},
    ],
    ids=["boundary", "chance", "validation", "training", "classes", "rebalanced"],
)
def test_silent(change):
    silent(RULE, shifted(**change))
