from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.learning.collapsed_predictions import CollapsedPredictions
from tests.builders import predictions, silent, speaks

RULE = CollapsedPredictions()


def test_one_class_though_training_tells_them_apart():
    words = (
        "99.5% of 1000 predictions", "cross_entropy at train.py:52, `F.cross_entropy(x, y)`", "class 3 (threshold 99%)",
        "8 batches", "10% of the targets", "80% of 512 were right",
    )  # fmt: skip
    finding = speaks(RULE, predictions(top_share=0.995), *words)
    assert finding.evidence["top_class"] == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"train_accuracy": 0.7, "train_majority_share": 0.65},
        {"train_accuracy": 0.75, "train_majority_share": 0.65},
        {"num_train": 99},
        {"num_train": 0, "train_accuracy": 0.0},
    ],
    ids=["training is no better", "boundary", "too few", "without training"],
)
def test_only_mentioned_where_training_has_not_shown_that_classes_can_be_told_apart(changes):
    finding = speaks(RULE, predictions(top_share=1.0, **changes), severity=Severity.INFO)
    assert ("in training" in finding.message) == bool(changes.get("num_train", 1))


@pytest.mark.parametrize(
    "changes",
    [{}, {"top_share": 0.989}, {"top_share": 1.0, "majority_share": 0.9}, {"top_share": 1.0, "num_predictions": 99}],
    ids=["healthy", "not quite", "nearly all targets are of one class", "too few"],
)
def test_silent(changes):
    silent(RULE, predictions(**changes))


def test_warm_up_is_no_excuse_for_a_network_that_has_learned():
    silent(RULE, predictions(top_share=1.0, num_train=0, train_accuracy=0.0, in_warmup=True))
    speaks(RULE, predictions(top_share=1.0, in_warmup=True))


def test_a_network_that_has_not_learned_yet_has_time():
    silent(RULE, predictions(top_share=1.0, num_train=0, train_accuracy=0.0, step=299))
    speaks(RULE, predictions(top_share=1.0, num_train=0, train_accuracy=0.0, step=300), severity=Severity.INFO)
    speaks(RULE, predictions(top_share=1.0, step=120))


def test_boundaries():
    speaks(RULE, predictions(top_share=0.99, num_predictions=100, majority_share=0.89, num_train=100, train_accuracy=1.0))


def test_one_validation_is_not_enough():
    assert RULE.patience == 2
