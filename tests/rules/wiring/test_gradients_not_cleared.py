from __future__ import annotations

from lightning_nnguard.rules.wiring.gradients_not_cleared import GradientsNotCleared
from tests.builders import clearing, silent, speaks

RULE = GradientsNotCleared()


def test_names_the_optimizer_and_counts_steps():
    finding = speaks(RULE, clearing(num_leftover=3, optimizer="SGD"), "gradients of SGD", "on 3 steps in a row", "threshold 3")
    assert finding.evidence["num_leftover"] == 3


def test_silent():
    silent(RULE, clearing(num_leftover=2))
    silent(RULE, clearing(num_leftover=0, num_emptied=30, num_zeroed=30))
