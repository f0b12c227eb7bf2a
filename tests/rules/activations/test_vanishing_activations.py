from __future__ import annotations

import pytest

from lightning_nnguard.rules.activations.vanishing_activations import VanishingActivations
from tests.builders import activation_profile, silent, speaks

RULE = VanishingActivations()
LAYERS = ("stem", "body.0", "body.1", "body.2", "head")


def test_states_both_ends_and_names_the_last():
    bad = activation_profile(rms=(1.0, 1e-2, 1e-4, 1e-6, 1e-6))
    finding = speaks(RULE, bad, "1.0e+00 (stem)", "1.0e-06 (body.2)", "10x a layer over 3 layers", "5 seen", where="body.2")
    assert finding.evidence["num_falls"] == 3


def test_names_the_longest_series():
    bad = activation_profile(layers=tuple("abcdefghi"), rms=(1e6, 1e4, 1e2, 1.0, 1e6, 1e4, 1e2, 1.0, 1e-2))
    speaks(RULE, bad, "(e)", "(i)", "over 4 layers", where="i")


def test_names_the_first_of_equal_series():
    rms = (1e3, 1e1, 1e-1, 1e-3, 1e3, 1e1, 1e-1, 1e-3)
    speaks(RULE, activation_profile(layers=tuple("abcdefgh"), rms=rms), "(a)", "(d)", where="d")


def test_a_fall_to_zero_counts():
    speaks(RULE, activation_profile(rms=(1.0, 1e-2, 1e-4, 0.0, 0.0)), where="body.2")


def test_needs_two_windows_and_passes_the_gate():
    assert RULE.patience == 2
    assert RULE.gated


@pytest.mark.parametrize(
    "rms",
    [
        (1.0, 1e-2, 1e-4, 1e-4, 1e-6),  # no three falls in a row
        (1000.0, 100.0, 10.0, 1.0, 1.0),  # exactly the threshold
        (1.0, 5.0, 25.0, 125.0, 625.0),  # growth is another rule's
        (0.0, 0.0, 0.0, 0.0, 0.0),
    ],
    ids=str,
)
def test_silent(rms):
    silent(RULE, activation_profile(rms=rms))


@pytest.mark.parametrize("num_layers", [0, 1])
def test_silent_without_depth(num_layers):
    silent(RULE, activation_profile(layers=LAYERS[:num_layers], rms=(1.0,) * num_layers))
