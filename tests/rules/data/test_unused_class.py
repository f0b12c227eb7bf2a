from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.unused_class import UnusedClass
from tests.builders import labels, silent, speaks

RULE = UnusedClass()
FROM_ONE = {"num_classes": 4, "counts": (0, 30, 30, 20), "is_epoch_seen": False}


def test_names_labels_that_begin_at_one():
    speaks(RULE, labels(**FROM_ONE), "1 of 4 classes (0) never occur in 80 labels", "threshold 20", "run from 1 to 3")


def test_other_classes_are_only_mentioned():
    seen = labels(num_classes=4, counts=(400, 0, 300, 300))
    speaks(RULE, seen, "1 of 4 classes (1) never occur in 1000 labels", severity=Severity.INFO)


def test_a_head_with_many_more_outputs_is_only_mentioned():
    seen = labels(num_classes=20, counts=(500,) * 10 + (0,) * 10)
    speaks(RULE, seen, "10 of 20 classes (10, 11, 12, 13, 14, ...)", severity=Severity.INFO)


@pytest.mark.parametrize(
    "seen",
    [
        labels(**{**FROM_ONE, "counts": (0, 30, 30, 19)}),
        labels(**{**FROM_ONE, "counts": (0, 40, 31, 9)}),
        labels(**FROM_ONE, ignore_index=0),
        labels(num_classes=2, counts=(0, 900)),
        labels(num_classes=4, counts=(400, 0, 300, 299)),
        labels(num_classes=4, counts=(400, 0, 300, 300), is_epoch_seen=False),
        labels(num_classes=4, counts=(500, 0, 491, 9)),
        labels(num_classes=4, counts=(0, 0, 0, 0)),
    ],
    ids=["few", "rare", "ignored", "two classes", "few for others", "part of an epoch", "rare words", "no labels"],
)
def test_silent(seen):
    silent(RULE, seen)
