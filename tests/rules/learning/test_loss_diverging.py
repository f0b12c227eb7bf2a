from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.learning.loss_diverging import LossDiverging
from tests.builders import loss, silent, speaks

RULE = LossDiverging()
PEAKED = {"chance": 2.0, "first": 2.1, "peak": 50.0, "peak_step": 40, "smoothed": 9.0}
RISEN = {"smoothed": 1.5, "smoothed_recent": (1.5,) * 128, "smoothed_min": 0.5, "smoothed_min_step": 900}


def test_states_the_peak():
    finding = speaks(RULE, loss(**PEAKED), "peaked at 50 at step 40", "25 times its chance level 2", "threshold 2")
    assert finding.evidence["peak"] == 50.0


def test_states_the_rise():
    finding = speaks(RULE, loss(**RISEN), "1.5", "for 50 steps", "minimum of 0.5 at step 900", "threshold 1.2 times")
    assert finding.evidence["smoothed_min"] == 0.5


def test_a_rise_that_leaves_half_of_what_was_gained_is_only_mentioned():
    speaks(RULE, loss(**{**RISEN, "chance": 2.5, "smoothed": 1.49}), severity=Severity.INFO)
    speaks(RULE, loss(**{**RISEN, "chance": 2.5, "smoothed": 1.5}), severity=Severity.WARNING)


def test_needs_no_noise_to_judge():
    speaks(RULE, loss(**PEAKED, recent=()))


def test_judges_the_latest_50():
    speaks(RULE, loss(**{**RISEN, "smoothed_recent": (0.5,) * 78 + (1.5,) * 50}))


@pytest.mark.parametrize(
    "changes",
    [
        {"peak": 4.0},  # exactly the threshold
        {"first": 60.0},  # a bad start that falls
        {"smoothed": 2.4},  # one bad batch
        {"recent": (1.0, 11.0) * 64},  # within the noise of a tiny batch
        {"smoothed": 2.5, "first": 2.6},  # back at its start
        {"smoothed_recent": (20.0,) * 78 + (0.5,) * 49 + (9.0,)},  # falling
        {"recent": (0.0, 20.0) * 64, "smoothed": 40.0},  # one of many as noisy
        {"chance_error": 3.5},  # chance is not known well enough
        {"chance": None},
        {"chance": 0.0},
    ],
    ids=str,
)
def test_silent_on_a_peak(changes):
    silent(RULE, loss(**{**PEAKED, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"smoothed_min": 1.0, "smoothed_recent": (1.2,) * 128},  # exactly the threshold
        {"smoothed_recent": (0.8,) * 78 + (0.59,) + (0.8,) * 49},  # not for 50 steps
        {"smoothed_recent": (0.8,) * 49},  # too little is known
        {"recent": (0.5, 1.7) * 64},  # within the noise of a tiny batch
        {"smoothed_min": 0.001, "smoothed_recent": (0.01,) * 128},  # a tiny loss that fluctuates
        {"chance": None},
        {"chance": 0.0},
    ],
    ids=str,
)
def test_silent_on_a_rise(changes):
    silent(RULE, loss(**{**RISEN, **changes}))


def test_noise_has_no_trend_in_it():
    assert loss(recent=()).noise == 0.0
    assert loss(recent=(5.0,)).noise == 0.0
    assert loss(recent=tuple(0.001 * i for i in range(128))).noise < 0.002
    assert loss(recent=(0.0, 0.954) * 64).noise == 1.0


def test_a_bad_start_may_come_back():
    silent(RULE, loss(**PEAKED, num_steps=19))
    speaks(RULE, loss(**PEAKED, num_steps=20))
