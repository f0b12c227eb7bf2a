from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.modes.dropout_active_in_eval import DropoutActiveInEval
from tests.builders import batchnorm, dropout, silent, speaks

RULE = DropoutActiveInEval()


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_names_stage_rate_module_and_source(stage):
    bad = dropout(stage=stage, source="net.py:48 F.dropout")
    finding = speaks(RULE, bad, "rate 0.5", f"{stage} batch", "encoder.2 at net.py:48 F.dropout")
    assert finding.evidence["rate"] == 0.5
    assert finding.evidence["source"] == "net.py:48 F.dropout"


def test_names_the_module_alone():
    finding = speaks(RULE, dropout(stage="validate"), "; encoder.2, 1 batch")
    assert "source" not in finding.evidence


def test_only_mentions_what_samples_on_purpose():
    speaks(RULE, dropout(stage="test", is_meant=True), severity=Severity.INFO)


@pytest.mark.parametrize(
    "seen",
    [
        dropout(),
        dropout(stage="validate", training=False),
        dropout(stage="validate", rate=0.0),
        batchnorm(stage="validate"),
    ],
    ids=["train", "off", "rate", "batchnorm"],
)
def test_silent(seen):
    silent(RULE, seen)
