from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.mostly_padding import MostlyPadding
from tests.builders import padding, silent, speaks

RULE = MostlyPadding()


def test_names_the_token_and_its_share():
    words = "token 0 pads 80.0% of 4096 positions", "`batch[0]`", "64 sequences of 64", "net.py:12"
    speaks(RULE, padding(fraction=0.8), *words, severity=Severity.INFO)


LOSS = "cross_entropy at train.py:48, `F.cross_entropy(logits, y)`"


def counted(**changes):
    return padding(**{"fraction": 0.8, "loss": LOSS, "loss_target": 7, "counted_fraction": 0.95, "inner_fraction": 0.01, **changes})


def test_a_loss_that_counts_padding_is_a_fault():
    words = "the loss counts padding: 95.0% of it has target 7", LOSS, "threshold 95%", "token 0 pads 80.0% of 4096 positions"
    speaks(RULE, counted(), *words, "without ignore_index=7", severity=Severity.WARNING)


@pytest.mark.parametrize(
    "change",
    [{"counted_fraction": 0.94}, {"counted_fraction": 0.0, "loss_target": -100}, {"inner_fraction": 0.02}, {"loss": ""}],
    ids=["targets differ", "ignored", "a token like others", "no such loss"],
)
def test_otherwise_padding_is_only_mentioned(change):
    finding = speaks(RULE, counted(**change), severity=Severity.INFO)
    assert "the loss" not in finding.message


def test_a_loss_that_counts_little_padding_is_left_alone():
    silent(RULE, counted(fraction=0.5))


@pytest.mark.parametrize(
    "change",
    [{"fraction": 0.5}, {"num_sequences": 7}, {"num_positions": 999}, {"length": 7}, {"num_tokens": 7}, {"vocabulary": 15}],
    ids=["half", "sequences", "positions", "short", "segments", "flags"],
)
def test_silent(change):
    silent(RULE, padding(**{"fraction": 0.8, **change}))
