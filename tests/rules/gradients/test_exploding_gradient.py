from __future__ import annotations

from dataclasses import replace

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.gradients.exploding_gradient import ExplodingGradient
from tests.builders import gradient_norm, silent, speaks

RULE = ExplodingGradient()
BEFORE = (0.9, 1.0, 1.1) * 10


def norms(*latest, before=BEFORE):
    values = before + latest
    return gradient_norm(norms=values, steps=tuple(range(len(values))))


def test_states_the_norm_and_the_bound():
    bad = norms(*(1.0,) * 7, 50.0, 80.0, 60.0)
    finding = speaks(RULE, bad, "8.0e+01", "3 of the latest 10 norms above 1.0e+01", "threshold 3", "30 norms before")
    assert finding.evidence["num_exploding"] == 3


def test_an_isolated_newest_norm_is_info():
    speaks(RULE, norms(*(1.0,) * 9, 50.0), "5.0e+01", "1 of the latest 10", severity=Severity.INFO)
    speaks(RULE, norms(*(1.0,) * 8, 50.0, 50.0), "2 of the latest 10", severity=Severity.INFO)


def test_what_is_clipped_below_the_bound_is_info():
    bad = norms(*(1.0,) * 7, 50.0, 80.0, 60.0)
    speaks(RULE, replace(bad, limit=10.0), "all are clipped to 1.0e+01", severity=Severity.INFO)
    speaks(RULE, replace(bad, limit=10.1), severity=Severity.WARNING)


def test_speaks_once_the_baseline_suffices():
    speaks(RULE, norms(*(50.0,) * 10, before=(1.0,) * 10), "10 of the latest 10")


@pytest.mark.parametrize(
    "seen",
    [
        norms(*(10.0,) * 10),  # exactly 10 medians
        norms(*(1.0,) * 8, 50.0, 1.0),  # isolated and over
        norms(*(50.0,) * 10, before=(1.0,) * 9),  # too little is known
        norms(*(11.0,) * 10, before=(0.01, 1.0, 1.99) * 10),  # within 20 deviations: a noisy run
        norms(*(1.0,) * 10, before=(0.0,) * 10),  # nothing to compare with
        norms(before=()),
    ],
    ids=["boundary", "over", "short", "noisy", "zero", "empty"],
)
def test_silent(seen):
    silent(RULE, seen)
