from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.swapped_loss_arguments import SwappedLossArguments
from tests.builders import loss_call, silent, speaks

RULE = SwappedLossArguments()


def swapped(**changes):
    behind = {
        "function": "binary_cross_entropy_with_logits", "source": "train.py:48, `F.binary_cross_entropy_with_logits(y, out)`",
        "is_input_data": True, "is_target_made": True, "input_min": 0.0, "input_max": 1.0, "input_function": "",
        "target_min": -1.7, "target_max": 2.4, "num_values": 64,
    }  # fmt: skip
    return loss_call(**{**behind, **changes})


def test_labels_before_logits():
    words = "train.py:48", "64 values of the batch, from 0 to 1", "from -1.7 to 2.4, as its target", "at least 8 values"
    finding = speaks(RULE, swapped(), *words)
    assert finding.evidence["target_max"] == 2.4


@pytest.mark.parametrize("function", ["cross_entropy", "binary_cross_entropy", "kl_div", "poisson_nll_loss"])
def test_other_losses(function):
    speaks(RULE, swapped(function=function), function)


def test_counts_before_rates():
    speaks(RULE, swapped(function="poisson_nll_loss", input_max=17.0), "from 0 to 17")


def test_evaluation_has_no_graph():
    speaks(RULE, swapped(stage="validate", is_trained=False))


@pytest.mark.parametrize(
    "seen",
    [
        swapped(is_input_data=False),
        swapped(is_target_made=False),
        swapped(is_trained=False),
        swapped(is_mirrored=True),
        swapped(function="mse_loss"),
        swapped(function="l1_loss"),
        swapped(function="huber_loss"),
        swapped(function="soft_margin_loss"),
        swapped(input_min=-3.0, input_max=2.0),
        swapped(input_max=1.5),
        swapped(function="kl_div", input_min=-9.0, input_max=0.0),
        swapped(function="kl_div", input_min=0.0, input_max=0.0),
        swapped(function="poisson_nll_loss", input_min=-0.5),
        swapped(num_values=7),
    ],
    ids=[
        "model's input", "data as target", "metric", "both directions", "squared", "absolute", "huber", "symmetric",
        "logits of the data", "scores",
        "log-probabilities of the data", "one class", "rates of the data", "few",
    ],
)  # fmt: skip
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundary():
    speaks(RULE, swapped(num_values=8))
