from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.modes.eval_mode_in_training import EvalModeInTraining
from tests.builders import batchnorm, dropout, silent, speaks

RULE = EvalModeInTraining()


def test_names_the_dropout_and_its_rate():
    finding = speaks(RULE, dropout(training=False), "dropout with rate 0.5", "encoder.2")
    assert finding.evidence["training"] is False


def test_names_the_batch_norm_and_its_source():
    speaks(RULE, batchnorm(training=False, source="net.py:50 F.batch_norm"), "batch norm", "encoder.1 at net.py:50")


def test_only_mentions_what_was_chosen():
    speaks(RULE, batchnorm(training=False, is_meant=True), severity=Severity.INFO)


@pytest.mark.parametrize(
    "seen",
    [
        dropout(),
        batchnorm(),
        dropout(training=False, rate=0.0),
        dropout(training=False, frozen=True),
        batchnorm(training=False, frozen=True),
        batchnorm(training=False, tracks_statistics=False),
        dropout(training=False, stage="validate"),
        batchnorm(training=False, stage="test"),
    ],
    ids=["dropout", "batchnorm", "rate", "frozen dropout", "frozen batchnorm", "stateless", "validate", "test"],
)
def test_silent(seen):
    silent(RULE, seen)
