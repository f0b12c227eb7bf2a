from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.channels_last_input import ChannelsLastInput
from tests.builders import convolution_input, silent, speaks

RULE = ChannelsLastInput()
LAST = {"shape": (64, 28, 28, 1), "num_channels": 28}


@pytest.mark.parametrize("colours", [1, 3, 4])
def test_names_the_tensor_and_the_layer(colours):
    words = f"`batch[0]` of shape 64x28x28x{colours} looks like 28x28 images", "28 channels from dimension 1", "net.py:8"
    finding = speaks(RULE, convolution_input(**{**LAST, "shape": (64, 28, 28, colours)}), *words)
    assert finding.evidence["num_channels"] == 28


def test_the_smallest_image():
    speaks(RULE, convolution_input(shape=(64, 5, 5, 3), num_channels=5), "at least 5 rows")


@pytest.mark.parametrize(
    "seen",
    [
        convolution_input(),
        convolution_input(shape=(64, 4, 4, 3), num_channels=4),
        convolution_input(**{**LAST, "shape": (64, 28, 28, 2)}),
        convolution_input(**{**LAST, "shape": (64, 28, 30, 1)}),
        convolution_input(**{**LAST, "kernel": (5, 1)}),
        convolution_input(shape=(28, 28, 1), num_channels=28),
    ],
    ids=["channels first", "tiny", "two channels", "not square", "time series", "no batch"],
)
def test_silent(seen):
    silent(RULE, seen)
