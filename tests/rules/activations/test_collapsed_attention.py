from __future__ import annotations

import pytest

from lightning_nnguard.rules.activations.collapsed_attention import CollapsedAttention
from tests.builders import attention, silent, speaks

RULE = CollapsedAttention()


def test_names_the_line_and_the_entropy():
    words = "by net.py:12, `scores.softmax(-1)`", "0.03 of the largest", "256 rows of 64 keys", "at most 0.05 in each of 4 heads"
    finding = speaks(RULE, attention(entropy=0.03, head_max=0.05), *words)
    assert finding.evidence["num_heads"] == 4


def test_heads_that_cannot_be_told_apart_are_not_counted():
    finding = speaks(RULE, attention(entropy=0.03, head_max=0.05, num_heads=1, source=None), "attention has", "threshold 0.1")
    assert "heads" not in finding.message


@pytest.mark.parametrize(
    "changes",
    [{}, {"entropy": 0.03, "head_max": 0.1}, {"entropy": 0.03, "head_max": 0.05, "num_rows": 31}],
    ids=["healthy", "boundary", "too few rows"],
)
def test_silent(changes):
    silent(RULE, attention(**changes))


def test_enough_rows():
    speaks(RULE, attention(entropy=0.03, head_max=0.0999, num_rows=32))
