from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.imbalanced_labels import ImbalancedLabels
from tests.builders import labels, silent, speaks

RULE = ImbalancedLabels()


def test_names_the_largest_class_and_the_entropy():
    words = "class 0 has 90.0% of 1000 labels", "0.47 of its largest", "threshold 0.5"
    speaks(RULE, labels(num_classes=2, counts=(900, 100)), *words)


def test_classes_that_never_occur_do_not_count():
    silent(RULE, labels(num_classes=1000, counts=(100,) * 10 + (0,) * 990))


@pytest.mark.parametrize(
    "seen",
    [
        labels(num_classes=2, counts=(880, 120)),
        labels(num_classes=2, counts=(450, 49)),
        labels(num_classes=2, counts=(1000, 0)),
        labels(num_classes=2, counts=(900, 100), is_epoch_seen=False),
    ],
    ids=["12 %", "few", "one class", "part of an epoch"],
)
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundary_goes_unmentioned():
    silent(ImbalancedLabels(min_entropy_fraction=1.0), labels(num_classes=2, counts=(500, 500)))
