from __future__ import annotations

import pytest

from lightning_nnguard.rules.activations.saturated_units import SaturatedUnits
from tests.builders import activation, sigmoid, silent, speaks

RULE = SaturatedUnits()


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
def test_states_the_share_and_the_sample_size(kind):
    bad = sigmoid(kind=kind, saturated_fraction=0.9, source="net.py:9 torch.tanh")
    finding = speaks(RULE, bad, f"0.90 of the {kind} outputs", "threshold 0.5", "4096 values of 64 samples", "net.py:9")
    assert finding.evidence["saturated_fraction"] == 0.9


def test_needs_two_windows_and_passes_the_gate():
    assert RULE.patience == 2
    assert RULE.gated


@pytest.mark.parametrize("changes", [{}, {"saturated_fraction": 0.5}, {"saturated_fraction": 0.9, "is_gate": True}], ids=str)
def test_silent(changes):
    silent(RULE, sigmoid(**changes))


def test_silent_on_kinds_that_do_not_saturate():
    silent(RULE, activation(saturated_fraction=None))
