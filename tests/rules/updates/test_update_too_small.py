from __future__ import annotations

import pytest

from lightning_nnguard.rules.updates.update_too_small import UpdateTooSmall
from tests.builders import silent, speaks, update_profile

RULE = UpdateTooSmall()
SMALL = (1e-6, 2e-5, 1e-7)


def test_states_the_largest_ratio_and_names_its_parameter():
    words = ("2.0e-05", "body.weight", "threshold 1e-04", "3 weight matrices", "5 sampled steps over 200 steps")
    finding = speaks(RULE, update_profile(ratios=SMALL), *words)
    assert finding.evidence["ratio"] == 2e-5


@pytest.mark.parametrize("changes", [{"span": 50}, {"ratios": (0.0, 0.0, 0.0)}], ids=str)
def test_speaks(changes):
    speaks(RULE, update_profile(**{"ratios": SMALL, **changes}))


def test_passes_the_gate():
    assert RULE.gated


@pytest.mark.parametrize(
    "changes",
    [
        {"ratios": (1e-6, 1e-4, 1e-7)},  # exactly the threshold
        {"span": 49},
        {"in_warmup": True},
        {"partly_frozen": True},
        {"ratios": (), "parameters": ()},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, update_profile(**{"ratios": SMALL, **changes}))
