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
