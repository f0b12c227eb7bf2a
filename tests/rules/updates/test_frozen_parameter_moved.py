from __future__ import annotations

from lightning_nnguard.rules.updates.frozen_parameter_moved import FrozenParameterMoved
from tests.builders import frozen_update, silent, speaks

RULE = FrozenParameterMoved()


def test_says_who_moved_it_and_how_far():
    words = "Adam moved it by 2.0e-03", "threshold 0", "weight norm 4.0e+00", "requires_grad is False"
    finding = speaks(RULE, frozen_update(optimizer="Adam", update_norm=2e-3), *words)
    assert finding.evidence["update_norm"] == 2e-3


def test_wants_two_looks():
    assert RULE.patience == 2


def test_silent():
    silent(RULE, frozen_update(update_norm=0.0))
    silent(FrozenParameterMoved(max_update_norm=1e-3), frozen_update(update_norm=1e-3))
