from __future__ import annotations

import pytest

from lightning_nnguard.rules.learning.loss_not_decreasing import LossNotDecreasing
from tests.builders import loss, silent, speaks

RULE = LossNotDecreasing()


def flat(level=2.3, noise=0.05, **changes):
    """Build a loss that has stayed at one level."""
    recent = tuple(level + noise * (i % 5 - 2) for i in range(125))
    healthy = {"recent": recent, "smoothed": level, "smoothed_recent": (level,) * 128, "smoothed_min": level}
    return loss(**{**healthy, **changes})


def test_states_the_loss_and_chance():
    words = ("2.3 after 1200 steps", "1 of its chance level 2.3", "threshold 0.98", "standard error 0.0063")
    finding = speaks(RULE, flat(), *words)
    assert finding.evidence["mean"] == pytest.approx(2.3)


def test_speaks_once_the_steps_suffice():
    speaks(RULE, flat(num_steps=200))
    speaks(RULE, flat(num_steps=200, steps_per_epoch=None))


@pytest.mark.parametrize(
    "seen",
    [
        flat(level=0.98, noise=0.0, chance=1.0),  # exactly the threshold
        flat(num_steps=199),
        flat(num_steps=60, steps_per_epoch=50),  # an epoch is too short
        flat(chance=None),
        flat(chance=0.0),
        flat(chance=-1.0),
        flat(noise=1.0),  # two standard errors of the mean
        flat(chance_error=0.03),  # two standard errors of the level
        flat(smoothed_recent=(3.0,) * 127 + (2.3,)),  # above chance, but falling
        flat(in_warmup=True),
    ],
    ids=["threshold", "steps", "epoch", "none", "zero", "negative", "noise", "chance-noise", "falling", "warmup"],
)
def test_silent(seen):
    silent(RULE, seen)
