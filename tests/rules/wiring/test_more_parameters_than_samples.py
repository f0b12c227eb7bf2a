from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.more_parameters_than_samples import MoreParametersThanSamples
from tests.builders import model, silent, speaks

RULE = MoreParametersThanSamples()


def test_states_the_ratio():
    seen = model(num_values=1_500_000, num_targets=1000.0)
    finding = speaks(RULE, seen, "1500000", "1000 targets", "1500 each", "threshold 1000")
    assert finding.evidence["ratio"] == 1500


@pytest.mark.parametrize(
    "changes",
    [
        {"num_values": 1_000_000},  # the boundary
        {"num_targets": None},
        {"num_targets": 0.0},
        {"is_fine_tuned": True},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, model(**{"num_values": 1_500_000, "num_targets": 1000.0, **changes}))
