from __future__ import annotations

import pytest

from lightning_nnguard.rules.modes.train_eval_disagreement import TrainEvalDisagreement
from tests.builders import mode_loss, silent, speaks

RULE = TrainEvalDisagreement()


def test_names_both_losses_and_their_ratio():
    words = "0.9 in eval mode", "0.3 in train mode", "3 times", "threshold 2", "64 samples"
    finding = speaks(RULE, mode_loss(train_loss=0.3, eval_loss=0.9), *words)
    assert finding.evidence["first_loss"] == 2.3


@pytest.mark.parametrize(
    "losses",
    [
        (0.5, 1.0),
        (0.5, 0.1),
        (0.01, 0.23),
        (0.001, 0.05),
        (-2.0, -0.5),
        (0.0, 1.0),
    ],
    ids=["twice", "dropout", "less than a tenth", "next to nothing", "negative", "nothing"],
)
def test_silent(losses):
    silent(RULE, mode_loss(train_loss=losses[0], eval_loss=losses[1]))


def test_a_tenth_of_the_first_loss_is_healthy():
    silent(RULE, mode_loss(train_loss=0.25, eval_loss=0.75, first_loss=5.0))
    speaks(RULE, mode_loss(train_loss=0.25, eval_loss=0.7501, first_loss=5.0), "3 times")


def test_a_rise_above_a_tenth_of_the_first_loss_counts():
    speaks(RULE, mode_loss(train_loss=0.01, eval_loss=0.25), "25 times")


def test_a_first_loss_below_zero_is_taken_by_its_size():
    silent(RULE, mode_loss(train_loss=0.01, eval_loss=0.2, first_loss=-2.3))


def test_its_causes_explain_it():
    assert {"NNG603", "NNG606"} <= RULE.explained_by
