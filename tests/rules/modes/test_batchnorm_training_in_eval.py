from __future__ import annotations

import pytest

from lightning_nnguard.rules.modes.batchnorm_training_in_eval import BatchnormTrainingInEval
from tests.builders import batchnorm, dropout, silent, speaks

RULE = BatchnormTrainingInEval()


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_names_stage_module_and_source(stage):
    bad = batchnorm(stage=stage, source="net.py:50 F.batch_norm")
    finding = speaks(RULE, bad, f"{stage} batch", "encoder.1 at net.py:50 F.batch_norm")
    assert finding.evidence["stage"] == stage


@pytest.mark.parametrize(
    "seen",
    [
        batchnorm(),
        batchnorm(stage="validate", training=False),
        batchnorm(stage="validate", tracks_statistics=False),
        dropout(stage="validate"),
    ],
    ids=["train", "off", "stateless", "dropout"],
)
def test_silent(seen):
    silent(RULE, seen)
