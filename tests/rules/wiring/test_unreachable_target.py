from __future__ import annotations

import pytest

from lightning_nnguard import Severity
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


def signs(**changes):
    behind = {
        "function": "cosine_embedding_loss", "source": "train.py:48, `self.loss(a, b, same)`", "target_min": 0.0, "target_max": 1.0,
        "num_unsigned": 31, "target_dtype": "float32",
    }  # fmt: skip
    return loss_call(**{**behind, **changes})


@pytest.mark.parametrize("function", ["cosine_embedding_loss", "margin_ranking_loss", "hinge_embedding_loss", "soft_margin_loss"])
def test_zeros_where_a_loss_takes_signs(function):
    words = f"{function} at train.py:48", "31 of 64 are neither", "threshold 0", "between 0 and 1"
    finding = speaks(RULE, signs(function=function), *words)
    assert finding.evidence["num_unsigned"] == 31


@pytest.mark.parametrize(
    "seen",
    [
        signs(target_min=-1.0),
        signs(target_min=1.0, num_unsigned=0),
        signs(num_targets=15),
        signs(reduction="none"),
        signs(is_trained=False),
        signs(function="mse_loss"),
    ],
    ids=["ties", "all alike", "few", "masked later", "metric", "distance"],
)
def test_signs_that_are_healthy(seen):
    silent(RULE, seen)


def test_the_boundary_of_signs():
    quarter = UnreachableTarget(max_unsigned_share=0.25)
    silent(quarter, signs(num_unsigned=16))
    speaks(quarter, signs(num_unsigned=17))


def tags(**changes):
    return loss_call(**{"target_dtype": "float32", "target_shape": (64, 10), "num_targets": 640, "num_multi_rows": 40, **changes})


def test_several_ones_in_a_row():
    speaks(RULE, tags(), "40 of 64 rows", "threshold 0", severity=Severity.WARNING)


@pytest.mark.parametrize(
    "seen",
    [
        tags(num_multi_rows=0),
        tags(is_input_from_layer=False),
        tags(is_target_given=True),
        tags(is_trained=False),
        tags(is_weighted=True),
        tags(reduction="none"),
        tags(num_targets=15),
    ],
    ids=["one class", "contrastive", "autoencoder of sets", "metric", "weighted", "masked later", "few"],
)
def test_rows_that_are_healthy(seen):
    silent(RULE, seen)


def test_the_boundary_of_rows():
    half = UnreachableTarget(max_multi_share=0.5)
    silent(half, tags(num_multi_rows=32))
    speaks(half, tags(num_multi_rows=33), severity=Severity.WARNING)
