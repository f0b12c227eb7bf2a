from __future__ import annotations

import pytest

from lightning_nnguard.rules.modes.frozen_statistics_drift import FrozenStatisticsDrift
from tests.builders import batchnorm, dropout, silent, speaks

RULE = FrozenStatisticsDrift()


def test_names_the_module():
    finding = speaks(RULE, batchnorm(frozen=True), "running statistics", "encoder.1, 1 batch")
    assert finding.evidence["frozen"] is True


@pytest.mark.parametrize(
    "seen",
    [
        batchnorm(),
        batchnorm(frozen=True, training=False),
        batchnorm(frozen=True, tracks_statistics=False),
        batchnorm(frozen=True, stage="validate"),
        dropout(frozen=True),
    ],
    ids=["trainable", "eval mode", "stateless", "validate", "dropout"],
)
def test_silent(seen):
    silent(RULE, seen)
