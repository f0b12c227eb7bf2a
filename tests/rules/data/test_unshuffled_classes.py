from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.unshuffled_classes import UnshuffledClasses
from tests.builders import labels, silent, speaks

RULE = UnshuffledClasses()
SORTED = {"num_batches": 28, "num_pure": 25, "num_pure_classes": 2}


def test_names_the_share_of_batches_of_one_class():
    finding = speaks(RULE, labels(**SORTED), "25 of 28 batches", "threshold 0.5", "10 classes")
    assert finding.evidence["fraction"] == pytest.approx(25 / 28)


@pytest.mark.parametrize(
    "change",
    [{"num_pure": 14}, {"num_batches": 19, "num_pure": 19}, {"num_pure_classes": 1}, {"num_pure": 0, "num_pure_classes": 0}],
    ids=["half", "few", "rare positives", "shuffled"],
)
def test_silent(change):
    silent(RULE, labels(**{**SORTED, **change}))
