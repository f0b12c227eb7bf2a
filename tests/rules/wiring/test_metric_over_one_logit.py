from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.metric_over_one_logit import MetricOverOneLogit
from tests.builders import choice, silent, speaks

RULE = MetricOverOneLogit()
ONE = {"shape": (64, 1)}


def test_names_the_choice_and_the_layer():
    words = "argmax at train.py:52, `logits.argmax(1)` chooses among 1 value", "at least 2", "64x1", "linear `head`"
    assert speaks(RULE, choice(**ONE), *words).evidence["layer"] == "head"


def test_one_class_for_each_pixel():
    speaks(RULE, choice(shape=(64, 1, 8, 8), layer="conv2d"), "shape 64x1x8x8")


@pytest.mark.parametrize("function", ["max", "topk", "argmax"])
def test_what_is_compared_is_a_metric(function):
    tokens = {"shape": (64, 9, 1), "dim": 2, "channel_dim": 2}
    speaks(RULE, choice(**tokens, function=function, is_compared=True), f"{function} at train.py:52")


@pytest.mark.parametrize(
    "seen",
    [
        choice(),
        choice(shape=(64, 2)),
        choice(**ONE, function="max"),
        choice(**ONE, function="topk"),
        choice(**ONE, batch_size=32),
        choice(**ONE, channel_dim=0),
        choice(shape=(64, 9, 1), dim=2, channel_dim=2),
        choice(shape=(64, 1, 9), dim=1, channel_dim=2),
        choice(shape=(1, 10), dim=0, channel_dim=1, batch_size=1, is_compared=True),
    ],
    ids=["ten", "two", "score", "best score", "boxes", "not the outputs", "tokens", "length of one", "batch of one"],
)
def test_silent(seen):
    silent(RULE, seen)
