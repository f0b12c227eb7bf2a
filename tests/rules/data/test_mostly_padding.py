from __future__ import annotations

import pytest

from lightning_nnguard.rules.data.mostly_padding import MostlyPadding
from tests.builders import padding, silent, speaks

RULE = MostlyPadding()


def test_names_the_token_and_its_share():
    words = "token 0 pads 80.0% of 4096 positions", "`batch[0]`", "64 sequences of 64", "net.py:12"
    speaks(RULE, padding(fraction=0.8), *words)


@pytest.mark.parametrize(
    "change",
    [{"fraction": 0.5}, {"num_sequences": 7}, {"num_positions": 999}, {"length": 7}, {"num_tokens": 7}, {"vocabulary": 15}],
    ids=["half", "sequences", "positions", "short", "segments", "flags"],
)
def test_silent(change):
    silent(RULE, padding(**{"fraction": 0.8, **change}))
