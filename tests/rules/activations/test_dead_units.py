from __future__ import annotations

import pytest

from lightning_nnguard.rules.activations.dead_units import DeadUnits
from tests.builders import dead_units, silent, speaks

RULE = DeadUnits()


def test_states_the_share_the_samples_and_the_bound():
    finding = speaks(RULE, dead_units(num_dead=97), "97 of 100 units", "0.97", "threshold 0.60", "n = 4000", "3/n = 7.5e-04")
    assert finding.evidence["dead_fraction"] == 0.97
    assert finding.evidence["max_firing_rate"] == 3 / 4000


def test_names_the_line_of_a_functional_call():
    speaks(RULE, dead_units(num_dead=97, source="net.py:48 F.relu"), "net.py:48 F.relu")


def test_speaks_once_samples_and_windows_suffice():
    speaks(RULE, dead_units(num_dead=61, num_samples=1000, num_windows=2))


@pytest.mark.parametrize(("num_units", "most_healthy"), [(1, 0), (4, 3), (8, 6), (64, 40), (10_000, 5100)])
def test_most_of_a_small_layer_is_more_of_it(num_units, most_healthy):
    silent(RULE, dead_units(num_units=num_units, num_dead=most_healthy))
    speaks(RULE, dead_units(num_units=num_units, num_dead=most_healthy + 1))


@pytest.mark.parametrize(
    "changes", [{}, {"num_dead": 60}, {"num_samples": 999}, {"num_windows": 1}, {"num_units": 0, "num_dead": 0}], ids=str
)
def test_silent(changes):
    silent(RULE, dead_units(**{"num_dead": 97, **changes} if changes else {}))
