from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.unreachable_target import UnreachableTarget
from tests.builders import loss_call, silent, speaks

RULE = UnreachableTarget()


def rectified(**changes):
    behind = {
        "function": "mse_loss", "source": "train.py:48, `F.mse_loss(self(x), y)`", "input_function": "relu", "input_low": 0.0,
        "input_source": "net.py:12, `F.relu(x)`", "target_low": -1.6, "target_high": 1.7, "target_std": 1.0,
    }  # fmt: skip
    return loss_call(**{**behind, **changes})


def squashed(**changes):
    return rectified(**{"input_function": "tanh", "input_low": -1.0, "input_high": 1.0, **changes})


def labels(**changes):
    behind = {"function": "binary_cross_entropy_with_logits", "target_min": -1.0, "target_max": 1.0, "target_low": -1.0}
    return loss_call(**{**behind, "target_high": 1.0, **changes})


def test_negative_targets_behind_a_rectifier():
    words = "mse_loss at train.py:48", "from -1.6 to 1.7", "1.6 outside of the range of relu, [0, inf]", "threshold 0.05", "64"
    finding = speaks(RULE, rectified(), *words, "made by net.py:12, `F.relu(x)`")
    assert finding.evidence["distance"] == 1.6


def test_targets_above_both_ends_of_a_range():
    speaks(RULE, squashed(target_low=-0.9, target_high=255.0), "254 outside of the range of tanh, [-1, 1]", "threshold 0.1")
    speaks(RULE, rectified(input_function="log_sigmoid", input_low=None, input_high=0.0), "1.7 outside", "[-inf, 0]")


@pytest.mark.parametrize("function", ["l1_loss", "smooth_l1_loss", "huber_loss"])
def test_other_distances(function):
    speaks(RULE, rectified(function=function), function)


@pytest.mark.parametrize("function", ["binary_cross_entropy_with_logits", "binary_cross_entropy"])
def test_labels_of_plus_and_minus_one(function):
    speaks(RULE, labels(function=function), "from -1 to 1", "all of 64", "1 outside of [0, 1]", "threshold 0.25")


def test_labels_of_one_and_two():
    speaks(RULE, labels(target_min=1.0, target_max=2.0), "from 1 to 2")


@pytest.mark.parametrize(
    "seen",
    [
        rectified(target_low=0.0),
        rectified(input_function="linear", input_low=None),
        rectified(is_trained=False),
        rectified(reduction="none"),
        rectified(is_weighted=True),
        rectified(num_targets=15),
        rectified(function="cross_entropy"),
        squashed(target_low=-1.0, target_high=1.0),
        labels(target_min=0.0, target_max=1.2),
        labels(reduction="none"),
        labels(is_weighted=True),
        labels(is_trained=False),
    ],
    ids=[
        "reachable", "no range", "evaluation", "masked later", "masked by weights", "few", "classes", "signs", "noisy labels",
        "unknown labels", "weighted labels", "evaluated labels",
    ],
)  # fmt: skip
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundaries_are_healthy():
    silent(RULE, rectified(target_low=-0.05))
    speaks(RULE, rectified(target_low=-0.051))
    silent(RULE, rectified(target_low=-0.1, target_std=2.0))
    sixteenth = UnreachableTarget(max_distance=0.0625)  # of the width 2
    silent(sixteenth, squashed(target_low=-1.125, target_high=1.125))
    speaks(sixteenth, squashed(target_low=-1.125, target_high=1.126))
    silent(RULE, labels(target_min=-0.25))
    silent(RULE, labels(target_min=0.0, target_max=1.25))
    speaks(RULE, labels(target_min=0.0, target_max=1.26))
    speaks(RULE, rectified(num_targets=16))
