from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.mismatched_initialisation import MismatchedInitialisation
from tests.builders import initial_profile, silent, speaks

RULE = MismatchedInitialisation()


def test_names_the_series_and_its_factor():
    words = "from 1.0e+00 (stem) to 1.0e-04 (body.2)", "1e+04x over 3 layers", "threshold 100x", "5 seen"
    finding = speaks(RULE, initial_profile(rms=(1.0, 0.1, 1e-3, 1e-4, 1e-4)), *words, where="body.2")
    assert finding.evidence["num_changes"] == 3


def test_names_a_signal_that_grows():
    speaks(RULE, initial_profile(rms=(1.0, 8.0, 64.0, 500.0, 4000.0)), "4e+03x over 4 layers", where="head")


def test_the_larger_of_two_series_is_named():
    layers = tuple("abcdefgh")
    speaks(RULE, initial_profile(layers=layers, rms=(1.0, 0.2, 0.04, 0.005, 1.0, 9.0, 81.0, 729.0)), "(d)", "(h)", where="h")


@pytest.mark.parametrize(
    "rms",
    [
        (1.0, 0.4, 0.2, 0.1, 0.05),
        (100.0, 20.0, 5.0, 1.0, 1.0),
        (1.0, 0.005, 0.001, 1.0, 1.0),
        (1.0, 1.0, 0.0, 1e-3, 1e-6),
        (1.0, 1e-1, 1e-2, 0.0, 1e-4),
        (1.0, 0.5, 0.01, 0.004, 0.002),
        (0.0, 0.0, 0.0, 0.0, 0.0),
    ],
    ids=["default", "boundary", "two layers", "zeros before", "zeros between", "slow steps end it", "all zeros"],
)
def test_silent(rms):
    silent(RULE, initial_profile(rms=rms))
