from __future__ import annotations

import pytest

from lightning_nnguard.rules.learning.loss_negated import LossNegated
from tests.builders import silent, speaks, whole_loss

RULE = LossNegated()


def negated(**changes):
    return whole_loss(**{"sign": -1, "trained_value": -2.3, "turned_source": "train.py:49, `-loss`", **changes})


def test_names_the_loss_and_the_minus():
    words = "the trained loss, -2.3,", "cross_entropy at train.py:48", "is 2.3 and never negative", "threshold 1e-06"
    finding = speaks(RULE, negated(), *words, "turned by train.py:49, `-loss`")
    assert finding.evidence["trained_value"] == -2.3


def test_one_minus_a_loss():
    speaks(RULE, negated(function="mse_loss", value=0.2, trained_value=0.8, has_constant=True), "the trained loss, 0.8,")


def test_optimizers_that_go_uphill():
    finding = speaks(RULE, whole_loss(is_maximized=True), "is maximised")
    assert "turned" not in finding.message


def test_a_likelihood_of_log_probabilities():
    speaks(RULE, negated(function="nll_loss", input_max=0.0), "nll_loss")


def test_a_divergence_and_scaled_losses():
    speaks(RULE, negated(function="kl_div", value=0.01, trained_value=-655.0), "-655")


@pytest.mark.parametrize(
    "seen",
    [
        whole_loss(),
        negated(is_maximized=True),
        negated(is_manual=True),
        negated(is_target_made=True),
        negated(has_frozen=True),
        negated(function="nll_loss", input_max=0.1, value=0.5),
        negated(function="gaussian_nll_loss"),
        negated(value=None),
        negated(trained_value=None),
        negated(trained_value=2.3),
        negated(value=0.0, trained_value=-0.0),
        negated(value=-2.3, trained_value=2.3),
    ],
    ids=[
        "healthy", "a score that is raised", "generator", "entropy", "attack", "likelihood of logits", "density", "not finite",
        "trained not finite", "a factor below zero", "zero", "negative",
    ],
)  # fmt: skip
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundary():
    silent(RULE, negated(value=0.9e-6, trained_value=-0.9e-6))
    speaks(RULE, negated(value=1.1e-6, trained_value=-1.1e-6))
