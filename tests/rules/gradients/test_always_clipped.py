from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.gradients.always_clipped import AlwaysClipped
from tests.builders import clipping, silent, speaks

RULE = AlwaysClipped()


def test_tenth_of_a_step_under_sgd():
    words = (
        "clipped on 20 of the latest 20 sampled steps",
        "threshold 0.5",
        "gradient_clip_val 1 leaves 0.05 of a usual norm of 20 (SGD)",
    )
    assert speaks(RULE, clipping(num_clipped=20, factor=0.05), *words).evidence["min_factor"] == 0.1


def test_more_than_half_is_only_mentioned():
    speaks(RULE, clipping(num_clipped=11, factor=0.1), "11 of the latest 20", severity=Severity.INFO)
    speaks(RULE, clipping(kind="AdamW", is_plain=False, num_clipped=20, factor=0.01), "(AdamW)", severity=Severity.INFO)


def test_all_cut_to_next_to_nothing_is_plain_to_see():
    speaks(RULE, clipping(num_samples=8, num_clipped=8, factor=0.09), "8 of the latest 8")


@pytest.mark.parametrize(
    "changes",
    [
        {"num_clipped": 10},
        {"num_clipped": 20, "factor": 0.51},
        {"num_samples": 19, "num_clipped": 18, "factor": 0.01},
        {"num_samples": 7, "num_clipped": 7, "factor": 0.01},
        {"num_samples": 19, "num_clipped": 19, "factor": 0.1},
        {"num_samples": 19, "num_clipped": 19, "factor": 0.01, "is_plain": False},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, clipping(**changes))
