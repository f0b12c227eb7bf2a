from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.wiring.parameter_without_gradient import ParameterWithoutGradient
from tests.builders import absent_gradient, silent, speaks

RULE = ParameterWithoutGradient()


def test_counts_the_steps():
    finding = speaks(RULE, absent_gradient(num_steps=200), "all 200 steps", "threshold 200 steps")
    assert finding.evidence["was_called"] == "unknown"
    assert "module" not in finding.message


def test_a_whole_epoch_is_enough():
    speaks(RULE, absent_gradient(num_steps=20, num_epochs=1), "all 20 steps", "threshold 1 whole epoch")


def test_says_whether_its_module_is_called():
    speaks(RULE, absent_gradient(num_steps=200, was_called=False), "`heads.rare` is never called")
    speaks(RULE, absent_gradient(num_steps=200, was_called=True), "`heads.rare` is called, but")


@pytest.mark.parametrize(
    "changes",
    [
        {"has_live_twins": True},
        {"is_switched_off": True, "was_called": True},
        {"kind": "bias", "has_live_siblings": True},
        {"is_installed": True},
    ],
    ids=["expert", "switched off", "bias of a layer that works", "installed"],
)
def test_only_mentions(changes):
    speaks(RULE, absent_gradient(num_steps=200, **changes), severity=Severity.INFO)


def test_a_weight_is_no_bias():
    speaks(RULE, absent_gradient(num_steps=200, has_live_siblings=True), severity=Severity.WARNING)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_steps": 199},
        {"num_steps": 19, "num_epochs": 9},
        {"num_steps": 199, "num_epochs": 0},
        {"num_steps": 2000, "num_epochs": 9, "was_moved": True},
        {"num_steps": 0},
    ],
    ids=["steps", "short epochs", "no whole epoch", "moving average", "has got one"],
)
def test_silent(changes):
    silent(RULE, absent_gradient(**changes))


def idle(**changes):
    seen = {"where": "optimizers[0]", "optimizer": "Adam", "num_parameters": 6, "num_steps": 200, "module": "G", "was_called": True}
    return absent_gradient(**{**seen, **changes})


def test_names_an_optimizer_without_any_gradient():
    lines = ("train.py:48, `fake.detach()`", "train.py:44, `fake.detach()`")
    words = "grad of all 6 parameters of this Adam was None on all 200 steps", "those of other optimizers", "`G` is called, but"
    finding = speaks(RULE, idle(cuts=lines), *words, "cut off from a loss at train.py:48", "and at train.py:44")
    assert finding.severity == Severity.WARNING
    assert finding.evidence["num_parameters"] == 6
    assert "cut off" not in speaks(RULE, idle()).message


def test_an_optimizer_of_a_module_that_waits_is_only_mentioned():
    speaks(RULE, idle(was_called=False), severity=Severity.INFO)
    speaks(RULE, idle(is_switched_off=True), severity=Severity.INFO)
    speaks(RULE, idle(was_called=None), severity=Severity.WARNING)


@pytest.mark.parametrize("changes", [{"num_steps": 199}, {"was_moved": True}, {"num_steps": 0}], ids=["early", "moved", "has one"])
def test_silent_on_an_optimizer(changes):
    silent(RULE, idle(**changes))
