from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.inverted_padding_mask import InvertedPaddingMask
from tests.builders import key_mask, silent, speaks

RULE = InvertedPaddingMask()


def inverted(**changes):
    seen = {"num_kept": 192, "num_kept_tokens": 1, "token": 0, "num_hidden": 320, "num_hidden_tokens": 50}
    return key_mask(**{**seen, **changes})


def test_says_what_is_looked_at():
    words = (
        "all 192 keys that multi_head_attention_forward at net.py:12", "looks at hold token 0", "the 320 ignored ones hold 50",
        "in 32 sequences", "key_padding_mask is True where keys are to be ignored",
    )  # fmt: skip
    finding = speaks(RULE, inverted(), *words)
    assert finding.evidence["num_hidden_tokens"] == 50


def test_says_what_a_mask_means():
    speaks(RULE, inverted(function="scaled_dot_product_attention"), "attn_mask is True where keys are to be looked at")
    assert "True" not in speaks(RULE, inverted(function="softmax")).message


@pytest.mark.parametrize(
    "seen",
    [
        inverted(num_kept_tokens=2),
        inverted(num_hidden_tokens=2),
        inverted(num_sequences=7),
        inverted(num_lengths=1),
        inverted(are_runs=False),
        inverted(hidden_fraction=0.06),
    ],
    ids=[
        "several tokens",
        "few ignored tokens",
        "few sequences",
        "a prompt of one length",
        "separators",
        "padding is ignored, too",
    ],
)
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundaries():
    speaks(RULE, inverted(num_hidden_tokens=3, num_sequences=8, num_lengths=2, hidden_fraction=0.05))
    silent(InvertedPaddingMask(min_sequences=33), inverted())
