from __future__ import annotations

import pytest

from lightning_nnguard.rules.updates.weights_unchanged import WeightsUnchanged
from tests.builders import silent, speaks, update

RULE = WeightsUnchanged()


def still(**changes):
    return update(**{"update_norm": 0.0, "ratio": 0.0, "ratio_median": 0.0, "num_unchanged": 3, "unchanged_span": 100, **changes})


def test_states_the_span_the_rate_and_the_gradient():
    words = ("over 100 steps", "threshold 10", "3 sampled steps", "learning rate 1.0e-03", "gradient norm 3.0e-01")
    finding = speaks(RULE, still(), *words)
    assert finding.evidence["gradient_norm"] == 0.3


def test_speaks_about_every_kind_once_the_span_suffices():
    speaks(RULE, still(kind="bias", num_dims=1, num_unchanged=2, unchanged_span=10))


@pytest.mark.parametrize(
    "changes",
    [
        {"num_unchanged": 1},
        {"unchanged_span": 9},
        {"learning_rate": 0.0},
        {"gradient_norm": 0.0},
        {"gradient_norm": None},
        {"step_skipped": True},
        {"in_optimizer": False},
        {"is_half": True},  # the matter of NNG510
        {"gradient_norm": 9.9e-3},  # less than what float32 resolves: the loss is at its minimum
        {"learning_rate": 1e-10},  # the schedule has come to its end
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, still(**changes))


def test_silent_when_it_moves():
    silent(RULE, update())
