from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.updates.suspicious_optimizer_setting import SuspiciousOptimizerSetting
from tests.builders import optimizer_setting, silent, speaks

RULE = SuspiciousOptimizerSetting()
SGD = {"kind": "SGD", "betas": (), "eps": None, "momentum": 0.9, "dampening": 0.0}


def test_betas_the_wrong_way_round():
    finding = speaks(RULE, optimizer_setting(betas=(0.999, 0.9)), "Adam has betas=(0.999, 0.9)", "threshold 0")
    assert finding.evidence["beta1"] == 0.999


def test_momentum_dampening_and_alpha():
    speaks(RULE, optimizer_setting(**{**SGD, "momentum": 1.0}), "SGD has momentum=1", "threshold 1")
    speaks(RULE, optimizer_setting(**{**SGD, "dampening": 1.0}), "dampening=1 with a momentum")
    speaks(RULE, optimizer_setting(kind="RMSprop", betas=(), alpha=1.2), "alpha=1.2")


def test_a_very_long_momentum_is_only_mentioned():
    found = speaks(
        RULE, optimizer_setting(**{**SGD, "momentum": 0.999}), "momentum=0.999", "about 1000 gradients", severity=Severity.INFO
    )
    assert found.evidence["momentum"] == 0.999
    silent(RULE, optimizer_setting(**{**SGD, "momentum": 0.995}))


def test_eps_that_is_zero_in_float16():
    speaks(RULE, optimizer_setting(half="float16"), "eps=1e-08 with parameters in float16", "threshold 1e-07")


def test_several_at_once():
    speaks(RULE, optimizer_setting(betas=(0.999, 0.9), half="float16"), "betas=", "and eps=")


@pytest.mark.parametrize(
    "changes",
    [
        {"betas": (0.95, 0.95)},
        {"betas": (0.0, 0.9)},
        {"betas": (), "kind": "Adan"},
        {"kind": "Lion", "betas": (0.99, 0.9)},
        {"eps": 1e-7, "half": "float16"},
        {"eps": 1e-8},
        {**SGD, "momentum": 0.99},
        {**SGD, "momentum": 0.0, "dampening": 1.0},
        {**SGD, "dampening": 0.9},
        {"kind": "ASGD", "betas": (), "alpha": 1.0},
        {"kind": "RMSprop", "betas": (), "alpha": 0.999},
        {"kind": "Adafactor", "betas": (), "eps": None, "half": "float16"},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, optimizer_setting(**changes))
