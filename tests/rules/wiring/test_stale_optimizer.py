from __future__ import annotations

from lightning_nnguard.rules.wiring.stale_optimizer import StaleOptimizer
from tests.builders import optimizer, silent, speaks

RULE = StaleOptimizer()


def test_names_what_took_their_place():
    seen = optimizer(num_stale=2, replaced_by=("head.weight", "head.bias"))
    finding = speaks(RULE, seen, "2 of the 10 tensors of Adam", "threshold 0", "head.weight, head.bias receive")
    assert finding.evidence["num_stale"] == 2


def test_says_how_many_more():
    speaks(RULE, optimizer(num_stale=5, replaced_by=("a", "b", "c")), "a, b, c and 2 more receive")


def test_silent_about_parameters_outside_of_the_model():
    silent(RULE, optimizer(num_foreign=4, num_stale=0))
