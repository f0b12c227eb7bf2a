"""Whole numbers of 64 bits in a maximum over ranks."""

from __future__ import annotations

import pytest
import torch

from lightning_nnguard.probe.agreement.pieces import SIZE, common, pieces

WORDS = [0, 1, -1, 2**63 - 1, -(2**63), 0x123456789ABCDEF, -42]


def _maximum(*words: int) -> int | None:
    return common(torch.stack([pieces(torch.tensor(word)) for word in words]).amax(0).numpy())


@pytest.mark.parametrize("word", WORDS)
def test_equal_numbers_are_recognised_and_told_apart_from_others(word: int) -> None:
    assert _maximum(word, word, word) == word % 2**64
    for other in WORDS:
        assert other == word or _maximum(word, word, other) is None


@pytest.mark.parametrize("bit", range(64))
def test_one_bit_is_enough(bit: int) -> None:
    word = 0x0F0F_3C3C_5555_AAAA
    flipped = (word ^ (1 << bit)) - (2**64 if bit == 63 else 0)
    assert _maximum(word, flipped) is None


def test_size() -> None:
    assert pieces(torch.tensor(3)).shape == (SIZE,)
