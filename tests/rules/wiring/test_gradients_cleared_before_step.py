from __future__ import annotations

from lightning_nnguard.rules.wiring.gradients_cleared_before_step import GradientsClearedBeforeStep
from tests.builders import clearing, silent, speaks

RULE = GradientsClearedBeforeStep()


def test_says_that_they_are_gone():
    finding = speaks(RULE, clearing(num_emptied=3), "gradients of Adam were None", "latest 3 steps in a row", "threshold 3")
    assert finding.evidence["num_emptied"] == 3


def test_says_that_they_are_zero():
    speaks(RULE, clearing(num_emptied=0, num_zeroed=4), "were exactly 0", "latest 4 sampled steps in a row")


def test_silent():
    silent(RULE, clearing(num_emptied=2, num_zeroed=2, num_leftover=3))
