from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.dropout_before_batchnorm import DropoutBeforeBatchnorm
from tests.builders import norm_call, silent, speaks

RULE = DropoutBeforeBatchnorm()
AFTER = {"dropout": "encoder.0", "dropout_rate": 0.5, "num_layers_between": 1}


def test_names_the_dropout_and_its_effect():
    finding = speaks(RULE, norm_call(**AFTER), "dropout `encoder.0` with rate 0.5", "2.00x the variance", "threshold 1.2x")
    assert finding.evidence["dropout_rate"] == 0.5


def test_everything_dropped():
    speaks(RULE, norm_call(**{**AFTER, "dropout_rate": 1.0}), "everything dropped")


def test_just_above_the_threshold():
    speaks(RULE, norm_call(**{**AFTER, "dropout_rate": 0.17}), "1.20x")


@pytest.mark.parametrize(
    "seen",
    [
        norm_call(),
        norm_call(**{**AFTER, "dropout_rate": 1 - 1 / 1.2}),
        norm_call(**{**AFTER, "dropout_rate": 0.1}),
        norm_call(**{**AFTER, "uses_batch": False}),
        norm_call(**{**AFTER, "function": "instance_norm"}),
    ],
    ids=["none", "boundary", "small", "eval mode", "instance norm"],
)
def test_silent(seen):
    silent(RULE, seen)
