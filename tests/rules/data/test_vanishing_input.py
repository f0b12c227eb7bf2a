from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.vanishing_input import VanishingInput
from tests.builders import layer_input, silent, speaks

RULE = VanishingInput()
TWICE = {"is_image": True, "shape": (64, 1, 8, 8), "num_values": 4096, "mean": 0.001, "std": 0.0015, "largest": 0.0039}


def test_names_the_scale_of_images_divided_twice():
    words = "standard deviation of 0.0015 (threshold 0.02)", "no value beyond 0.0039 (threshold 0.016)", "4096 values"
    speaks(RULE, layer_input(**TWICE), *words)


def test_a_normalisation_behind_the_layer_does_not_help():
    speaks(RULE, layer_input(**TWICE, is_normalised_next=True))


@pytest.mark.parametrize(
    "change",
    [
        {"std": 0.02},
        {"largest": 1 / 64 + 1e-6},
        {"std": 0.0, "largest": 0.0},
        {"is_image": False},
        {"num_values": 255},
    ],
    ids=["deviation", "a bright spot", "black", "table", "few values"],
)
def test_silent(change):
    silent(RULE, layer_input(**{**TWICE, **change}))


def test_the_boundary_of_the_largest_value_is_vanishing():
    speaks(RULE, layer_input(**{**TWICE, "largest": 1 / 64}))
