from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.learning.loss_spike import LossSpike
from tests.builders import loss, silent, speaks

RULE = LossSpike()
NOISE = tuple(0.5 + 0.05 * (i % 5 - 2) for i in range(127))


def test_states_the_loss_and_the_deviations():
    finding = speaks(
        RULE, loss(recent=(*NOISE, 3.0)), "loss is 3", "standard deviations above its mean", "threshold 6", "127 steps"
    )
    assert finding.severity is Severity.INFO
    assert finding.evidence["loss"] == 3.0


def test_most_spikes_fall_between_two_sampled_steps():
    finding = speaks(RULE, loss(recent=(*NOISE[:64], 3.0, *NOISE[:63])), "loss was 3 63 steps before", "64 steps")
    assert finding.evidence["age"] == 63


def test_needs_no_chance():
    speaks(RULE, loss(recent=(*NOISE, 3.0), chance=None))


@pytest.mark.parametrize(
    "changes",
    [
        {"recent": (*NOISE, 0.9)},  # within 6 deviations
        {"recent": (3.0, *NOISE)},  # long ago
        {"recent": (*NOISE[:64], 3.0, *NOISE[:64])},  # just too long ago
        {"recent": (*NOISE[:63], 3.0)},  # too little is known
        {"recent": (*NOISE, -3.0)},  # downwards
        {"recent": (0.5,) * 127 + (3.0,)},  # no noise to compare with
        {"recent": (*(1.0 + 1e-7 * (i % 2) for i in range(127)), 1.0001)},  # constant but for rounding
        {"recent": (*(1e-4 + 1e-6 * (i % 2) for i in range(127)), 1e-2)},  # tiny against chance
        {"recent": ()},
    ],
    ids=["noise", "old", "older", "short", "down", "constant", "rounding", "tiny", "empty"],
)
def test_silent(changes):
    silent(RULE, loss(**changes))


def test_the_boundary_is_healthy():
    before = (0.0, 2.0) * 2
    rule = LossSpike(min_num_losses=4, max_deviation=0.0, max_rise=3.0)
    silent(rule, loss(recent=(*before, 4.0), chance=None))
    speaks(rule, loss(recent=(*before, 4.1), chance=None))
