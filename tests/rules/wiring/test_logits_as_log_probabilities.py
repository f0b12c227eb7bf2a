from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.logits_as_log_probabilities import LogitsAsLogProbabilities
from tests.builders import loss_call, silent, speaks

RULE = LogitsAsLogProbabilities()


def likelihood(**changes):
    return loss_call(**{"function": "nll_loss", "source": "train.py:48, `F.nll_loss(logits, y)`", "input_max": 1.7, **changes})


def test_names_the_loss_and_what_made_its_input():
    words = "nll_loss at train.py:48", "up to 1.7", "threshold 0.01", "640 values", "made by net.py:12, `self.head(x)`"
    finding = speaks(RULE, likelihood(), *words)
    assert finding.evidence["input_max"] == 1.7


def test_probabilities_for_a_divergence():
    speaks(RULE, likelihood(function="kl_div", input_min=0.0, input_max=0.4, input_function="softmax"), "kl_div", "up to 0.4")


@pytest.mark.parametrize(
    "seen",
    [
        likelihood(input_max=0.0),
        likelihood(input_max=0.01),  # the boundary
        likelihood(input_max=1e-3),  # log(p + 0.001)
        likelihood(input_min=-1e15, input_max=-0.1),  # masked
        likelihood(function="cross_entropy"),
        likelihood(function="mse_loss"),
    ],
    ids=["log-probabilities", "boundary", "epsilon", "masked", "cross-entropy", "distance"],
)
def test_silent(seen):
    silent(RULE, seen)


def counts(**changes):
    seen = {
        "function": "poisson_nll_loss", "source": "train.py:48, `F.poisson_nll_loss(rates, y)`", "takes_logarithms": True,
        "input_function": "softplus", "input_min": 0.1, "input_max": 3.0, "ignore_index": None,
    }  # fmt: skip
    return loss_call(**{**seen, **changes})


NEGATIVE = {"takes_logarithms": False, "input_function": "linear", "input_min": -1.5, "value": None}


@pytest.mark.parametrize("function", ["softplus", "relu", "exp"])
def test_rates_for_logarithms(function):
    words = "poisson_nll_loss at train.py:48", "log_input=True", "640 values from 0.1 to 3"
    speaks(RULE, counts(input_function=function), *words)
    speaks(RULE, counts(input_function=function, input_min=0.0), "from 0 to 3")


def test_negative_rates():
    speaks(RULE, counts(**NEGATIVE), "is NaN", "log_input=False", "640 values from -1.5 to 3")


@pytest.mark.parametrize(
    "seen",
    [
        counts(input_function="linear"),
        counts(input_function="linear", input_min=-1.5),
        counts(takes_logarithms=False),
        counts(**{**NEGATIVE, "input_min": 0.0}),
        counts(**{**NEGATIVE, "input_min": -1e-9, "value": 1.2}),
    ],
    ids=["positive logarithms", "logarithms", "rates", "zero", "within eps"],
)
def test_silent_on_counts(seen):
    silent(RULE, seen)
