from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.updates.schedule_mismatch import ScheduleMismatch
from tests.builders import schedule, silent, speaks

RULE = ScheduleMismatch()
PER_EPOCH = {"interval": "epoch", "num_planned": 10.0}


def test_length_in_epochs_that_is_stepped_with_each_batch():
    words = ("T_max means 10 steps", "make 1000", "0.01 times the run", "threshold 0.8 to 1.25", "it is in epochs")
    finding = speaks(RULE, schedule(length=10.0), "goes up again", *words, "T_max=self.trainer.estimated_stepping_batches")
    assert finding.evidence["share"] == 0.01


def test_length_in_steps_that_is_stepped_with_each_epoch():
    words = "does not come to its end", "it is in optimizer steps", 'return {"scheduler": scheduler, "interval": "step"}'
    speaks(RULE, schedule(length=1000.0, **PER_EPOCH), *words)


def test_warm_up_that_never_ends():
    speaks(RULE, schedule(kind="LinearLR", argument="total_iters", part="warm-up", length=1001.0), "never ends its warm-up")
    words = "it is in optimizer steps", '"interval": "step"'
    speaks(RULE, schedule(kind="LinearLR", argument="total_iters", part="warm-up", length=100.0, **PER_EPOCH), *words)


def test_accumulation_is_counted_twice_or_not_at_all():
    speaks(RULE, schedule(length=250.0, accumulation=4, rises_again=False), "ends early", "counted twice")
    speaks(RULE, schedule(length=4000.0, accumulation=4), "in batches, of which 4 are accumulated")


def test_ranks_are_counted_twice_or_not_at_all():
    speaks(RULE, schedule(length=500.0, world_size=2), "2 ranks are counted twice")
    speaks(RULE, schedule(length=2000.0, world_size=2), "batches of all 2 ranks")


def test_other_lengths_get_the_trainers_own():
    speaks(RULE, schedule(length=700.0), "; T_max=self.trainer.estimated_stepping_batches")
    speaks(RULE, schedule(length=20.0, **PER_EPOCH), "; T_max=self.trainer.max_epochs")


def test_cosine_that_ends_at_its_highest_rate():
    speaks(RULE, schedule(length=500.0), "goes up again", severity=Severity.WARNING)


def test_cosine_by_design_and_a_drop_that_never_comes_are_only_mentioned():
    speaks(RULE, schedule(length=200.0), "goes down and up 5 times", severity=Severity.INFO)
    drop = schedule(kind="StepLR", argument="step_size", part="drop", length=30.0, **PER_EPOCH)
    speaks(RULE, drop, "never gets to its first drop", severity=Severity.INFO)


def test_factors_that_bring_the_rate_to_nothing():
    fade = {"kind": "StepLR", "argument": "step_size", "part": "fade", "rises_again": False}
    words = "to a millionth", "0.18 times the run", "it is in epochs", 'step it with "interval": "epoch"'
    speaks(RULE, schedule(length=180.0, **fade), *words)
    speaks(RULE, schedule(length=180.0, may_end_sooner=True, **fade), "it is in epochs")
    speaks(RULE, schedule(length=499.0, **fade), "threshold 0.5")
    speaks(RULE, schedule(length=329.0, num_epochs=None, **fade), "threshold 0.33")


@pytest.mark.parametrize(
    "changes",
    [
        {"length": 800.0},
        {"length": 1250.0},
        {"part": "warm-up", "length": 1000.0},
        {"part": "warm-up", "length": 5.0},
        {"part": "drop", "length": 1000.0},
        {"part": "fade", "length": 500.0, "argument": "step_size"},
        {"part": "fade", "length": 330.0, "num_epochs": None},
        {"part": "fade", "length": 330.0, "argument": "gamma", "kind": "ExponentialLR"},
        {"part": "fade", "length": 2.0, "may_end_sooner": True},
        {"part": "decay", "length": 100.0},
        {"length": 1000.0, "num_planned": 100.0, "num_optimizer_steps": 100.0, "num_without_limit": 1000.0},
        {"part": "warm-up", "length": 200.0, "num_planned": 100.0, "num_without_limit": 1000.0},
        {"length": 300.0, "may_end_sooner": True},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, schedule(**changes))


def test_a_decay_alone_is_judged_when_it_is_longer_or_in_another_unit():
    speaks(RULE, schedule(kind="CosineAnnealingWarmRestarts", argument="T_0", part="decay", length=1251.0, rises_again=False))
    speaks(RULE, schedule(kind="CosineAnnealingWarmRestarts", argument="T_0", part="decay", length=10.0), "in epochs")


def test_just_outside_of_the_band():
    speaks(RULE, schedule(length=799.0, rises_again=False), "ends early")
    speaks(RULE, schedule(length=1251.0), "does not come to its end")


def test_a_few_steps_of_an_epoch_do_not_make_a_unit():
    """Where an epoch is one step, both units are the same."""
    silent(RULE, schedule(length=10.0, num_planned=10.0, num_optimizer_steps=10.0, num_epochs=10.0))
    silent(RULE, schedule(part="decay", length=10.0, num_planned=20.0, num_optimizer_steps=20.0, num_epochs=10.0))
