from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.detached_loss import DetachedLoss
from tests.builders import objective, silent, speaks

RULE = DetachedLoss()


def cut(**changes):
    seen = {"requires_grad": False, "trains": "nothing", "num_gradients": None, "cut_function": "detach"}
    return objective(**{**seen, "cut_source": "train.py:48, `loss.detach()`", **changes})


def anew(**changes):
    return cut(**{"requires_grad": True, "num_gradients": 0, "cut_function": "item", "cut_source": "train.py:49", **changes})


def test_names_the_line_that_cut_the_loss_off():
    words = (
        "the loss 2.3 carries no gradient",
        "0 of 8 parameters",
        "threshold 1",
        "cut off by detach at train.py:48, `loss.detach()`",
    )
    finding = speaks(RULE, cut(), *words)
    assert finding.evidence["num_gradients"] == 0


def test_says_that_gradients_were_switched_off():
    speaks(RULE, cut(cut_function="linear", cut_without_grad=True), "by linear", "gradients switched off (torch.no_grad)")


def test_a_loss_of_nothing_that_was_recorded():
    speaks(RULE, cut(cut_function="", cut_source=None, value=None), "the loss carries no gradient")


def test_a_number_made_anew_trains_nothing_in_silence():
    speaks(RULE, anew(), "a number made anew", "0 of 8 parameters", "item at train.py:49")
    speaks(RULE, anew(num_gradients=None), "a number made anew")


@pytest.mark.parametrize(
    "seen",
    [
        objective(),
        cut(num_trainable=0),
        cut(num_gradients=8),
        cut(num_gradients=0),
        anew(trains="others"),
        anew(value=0.0),
        anew(value=None),
        anew(cut_function=""),
        objective(num_gradients=0),
    ],
    ids=[
        "healthy", "all frozen", "backward of its own", "backward of its own without gradients", "latent codes", "stand-in",
        "not finite", "a constant", "gradients kept elsewhere",
    ],
)  # fmt: skip
def test_silent(seen):
    silent(RULE, seen)


def test_one_gradient_is_healthy():
    silent(RULE, anew(num_gradients=1))
