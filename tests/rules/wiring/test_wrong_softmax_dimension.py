from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.wiring.wrong_softmax_dimension import WrongSoftmaxDimension
from tests.builders import silent, softmax, speaks

RULE = WrongSoftmaxDimension()
ONE = {"shape": (64, 1)}
NLL = {"function": "log_softmax", "dim": 0, "loss": "nll_loss", "class_dim": 1, "loss_source": "train.py:48, `F.nll_loss(x, y)`"}
SQUARED = {"dim": 0, "loss": "mse_loss"}


def test_names_a_softmax_over_one_output():
    words = "softmax at net.py:12, `F.softmax(x, dim=1)` runs over dimension 1", "1 output of a linear layer", "at least 2 values"
    finding = speaks(RULE, softmax(**ONE), *words)
    assert finding.evidence["shape"] == "64x1"


def test_names_the_dimension_that_the_loss_takes_the_classes_from():
    words = "dimension 0, 64 values", "nll_loss takes 10 classes from dimension 1 (train.py:48, `F.nll_loss(x, y)`)"
    speaks(RULE, softmax(**NLL), *words)


def test_needs_no_layer_when_the_loss_names_the_classes():
    speaks(RULE, softmax(**{**NLL, "dim": 2, "shape": (8, 5, 7), "layer": "", "channel_dim": None}), "dimension 2, 7 values")


def test_names_a_softmax_over_the_samples_before_another_loss():
    words = "the 64 samples of the batch", "gives 10 values for each in dimension 1", "mse_loss takes"
    speaks(RULE, softmax(**SQUARED), *words, severity=Severity.WARNING)


def test_attention_weights_over_one_value_are_a_warning():
    weights = softmax(shape=(8, 20, 1), dim=2, channel_dim=2, is_combined=True)
    speaks(RULE, weights, "dimension 2, which holds the 1 output", severity=Severity.WARNING)


@pytest.mark.parametrize(
    "seen",
    [
        softmax(),
        softmax(shape=(64, 2)),
        softmax(**{**ONE, "channel_dim": 0}),
        softmax(**{**ONE, "layer": "", "channel_dim": None}),
        softmax(**{**ONE, "is_combined": True}),
        softmax(**{**NLL, "dim": 1}),
        softmax(**{**NLL, "shape": (64, 64)}),
        softmax(**{**NLL, "loss": "", "class_dim": None}),
        softmax(**{**SQUARED, "loss": ""}),
        softmax(**{**SQUARED, "dim": 1}),
        softmax(**{**SQUARED, "shape": (64, 1)}),
        softmax(**{**SQUARED, "shape": (64, 64)}),
        softmax(**{**SQUARED, "batch_size": 32}),
        softmax(**{**SQUARED, "batch_size": None}),
        softmax(**{**SQUARED, "layer": "", "channel_dim": None}),
        softmax(**{**SQUARED, "channel_dim": 0}),
        softmax(**{**SQUARED, "target_is_alike": True}),
    ],
    ids=[
        "classes", "two", "time of one", "unknown layer", "gate", "nll", "square", "no loss", "attention", "mse", "ranking",
        "square mse", "not the batch", "batch unknown", "no layer", "turned", "list of targets",
    ],
)  # fmt: skip
def test_silent(seen):
    silent(RULE, seen)


def test_labels_that_pick_tell_where_the_classes_are():
    picked = {**NLL, "function": "softmax", "loss": "gather", "loss_source": "train.py:48, `p.gather(1, y[:, None])`"}
    speaks(RULE, softmax(**picked), "dimension 0, 64 values", "gather takes 10 classes from dimension 1 (train.py:48")
    silent(RULE, softmax(**{**picked, "dim": 1}))
    silent(RULE, softmax(**{**picked, "shape": (64, 64)}))
