from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.classes_by_view import ClassesByView
from tests.builders import reshaped_classes, silent, speaks

RULE = ClassesByView()
TIME = {"shape_before": (8, 5, 10), "channel_dim": 2, "shape": (8, 10, 5), "reshaped_by": "train.py:47, `x.view(8, 10, 5)`"}
IMAGE = {"layer": "conv2d", "shape_before": (8, 10, 4, 6), "channel_dim": 1, "shape": (192, 10)}


def test_names_classes_of_a_linear_layer():
    words = (
        "10 classes in dimension 2 of the linear layer `head` (shape 8x5x10)",
        "reshaped at train.py:47, `x.view(8, 10, 5)` to 8x10x5, not moved",
        "cross_entropy (train.py:48, `F.cross_entropy(x, y)`)",
        "mixed with 5 positions (at least 2 of each",
    )
    finding = speaks(RULE, reshaped_classes(**TIME), *words)
    assert (finding.evidence["num_classes"], finding.evidence["num_positions"]) == (10, 5)


@pytest.mark.parametrize(
    ("before", "dim", "after", "num"),
    [
        ((8, 4, 6, 10), 3, (8, 10, 4, 6), 24),
        ((8, 24, 10), 2, (8, 10, 4, 6), 24),
        ((40, 10), 1, (8, 10, 5), 5),
        ((8, 5, 2), 2, (8, 2, 5), 5),
    ],
)
def test_whatever_the_shape(before, dim, after, num):
    speaks(RULE, reshaped_classes(shape_before=before, channel_dim=dim, shape=after), f"mixed with {num} positions")


def test_names_flattened_channels():
    speaks(RULE, reshaped_classes(**IMAGE), "10 classes in dimension 1 of the conv2d layer", "mixed with 24 positions")


@pytest.mark.parametrize(
    "seen",
    [
        reshaped_classes(),
        reshaped_classes(**{**TIME, "shape_before": (8, 1, 10), "shape": (8, 10, 1)}),
        reshaped_classes(**{**TIME, "shape_before": (8, 5, 1), "shape": (8, 1, 5)}),
        reshaped_classes(**{**TIME, "shape_before": (8, 50), "channel_dim": 1}),
        reshaped_classes(**{**TIME, "shape_before": (8, 25, 2)}),
        reshaped_classes(**{**TIME, "shape_before": (80, 10), "channel_dim": 1, "shape": (8, 10, 10)}),
        reshaped_classes(**{**TIME, "shape_before": (240, 10), "channel_dim": 1, "shape": (8, 10, 3, 10)}),
        reshaped_classes(**{**TIME, "shape_before": (8, 10, 10), "shape": (8, 10, 2, 5)}),
        reshaped_classes(**{**TIME, "shape_before": (8, 10, 6, 10), "channel_dim": 3, "shape": (8, 10, 60)}),
        reshaped_classes(**{**TIME, "shape": (8, 10)}),
        reshaped_classes(**{**TIME, "shape_before": (50,), "channel_dim": 0, "shape": (50,)}),
        reshaped_classes(**{**IMAGE, "shape": (8, 10, 24)}),
        reshaped_classes(**{**IMAGE, "shape_before": (8, 10, 1, 1), "shape": (8, 10)}),
        reshaped_classes(**{**IMAGE, "shape_before": (8, 30, 4, 6), "shape": (576, 10)}),
        reshaped_classes(**{**IMAGE, "shape_before": (8, 10, 4, 10), "shape": (320, 10)}),
    ],
)
def test_is_silent_where_nothing_is_mixed_or_the_shape_does_not_say(seen):
    silent(RULE, seen)


def test_the_threshold_is_the_first_that_speaks():
    speaks(ClassesByView(min_size=5), reshaped_classes(**TIME), "at least 5 of each")
    silent(ClassesByView(min_size=6), reshaped_classes(**TIME))
