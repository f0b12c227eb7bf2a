from __future__ import annotations

from lightning_nnguard.rules.wiring.nothing_trainable import NothingTrainable
from tests.builders import model, silent, speaks

RULE = NothingTrainable()


def test_says_how_many_there_are():
    finding = speaks(RULE, model(num_trainable=0, num_values=0), "0 of 8 parameters require a gradient", "threshold 1")
    assert finding.evidence["num_parameters"] == 8


def test_silent_when_one_is_trained():
    silent(RULE, model(num_trainable=1))
