from __future__ import annotations

from typing import Any

import pytest

from lightning_nnguard.rules.wiring.metric_shared_across_stages import MetricSharedAcrossStages
from tests.builders import metric, silent, speaks

RULE = MetricSharedAcrossStages()
SHARED: dict[str, Any] = {"where": "acc", "num_carried": 23, "in_training": True}


def test_says_how_many_updates_it_still_held():
    finding = speaks(RULE, metric(**SHARED), "MulticlassAccuracy still held 23 updates", "threshold 0", "'validate'")
    assert finding.evidence["num_carried"] == 23


@pytest.mark.parametrize(
    "changes",
    [
        {"num_carried": 0},  # it was reset; the boundary
        {"in_training": False},  # never reset, but of validation alone
        {"is_read": False},  # values of batches are logged
        {"mixes_on_purpose": True},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, metric(**{**SHARED, **changes}))
