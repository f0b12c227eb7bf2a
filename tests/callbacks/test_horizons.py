"""Lengths are read off schedulers without calling anything of the user's."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

from lightning_nnguard.callbacks.horizons import Horizon, bound_numbers, horizons_of


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(2))], 0.1, momentum=0.9)


def lengths(scheduler: Any) -> list[tuple[str, str, float]]:
    return [(each.argument, each.part, each.length) for each in horizons_of(scheduler)]


def linear_warm_up(step: int, *, num_warmup_steps: int, num_training_steps: int) -> float:
    raise AssertionError("a schedule of the user's is not called")


def build(make: Any, **arguments: Any) -> Any:
    return make(optimizer(), **arguments)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (build(schedulers.OneCycleLR, max_lr=1, total_steps=70), [("total_steps", "whole", 70)]),
        (build(schedulers.OneCycleLR, max_lr=1, epochs=7, steps_per_epoch=10), [("total_steps", "whole", 70)]),
        (build(schedulers.CosineAnnealingLR, T_max=70), [("T_max", "whole", 70)]),
        (build(schedulers.PolynomialLR, total_iters=70), [("total_iters", "whole", 70)]),
        (build(schedulers.CosineAnnealingWarmRestarts, T_0=7), [("T_0", "decay", 7)]),
        (build(schedulers.LinearLR, start_factor=0.1, total_iters=7), [("total_iters", "warm-up", 7)]),
        (build(schedulers.LinearLR, start_factor=1, end_factor=0.1, total_iters=70), [("total_iters", "decay", 70)]),
        (build(schedulers.LinearLR, start_factor=1, total_iters=70), []),
        (build(schedulers.ConstantLR, factor=0.1, total_iters=7), [("total_iters", "warm-up", 7)]),
        (build(schedulers.ConstantLR, factor=1, total_iters=7), []),
        (build(schedulers.CyclicLR, base_lr=0.1, max_lr=1, step_size_up=30), [("step_size_up", "warm-up", 30)]),
        (build(schedulers.StepLR, step_size=5, gamma=0.1), [("step_size", "drop", 5), ("step_size", "fade", 30)]),
        (build(schedulers.StepLR, step_size=5, gamma=1), []),
        (build(schedulers.MultiStepLR, milestones=[8, 5], gamma=0.1), [("milestones", "drop", 5)]),
        (build(schedulers.MultiStepLR, milestones=[5, 6, 9], gamma=0.01), [("milestones", "drop", 5), ("milestones", "fade", 9)]),
        (build(schedulers.ExponentialLR, gamma=0.1), [("gamma", "fade", 6)]),
        (build(schedulers.ReduceLROnPlateau), []),
        (build(schedulers.LambdaLR, lr_lambda=lambda step: 0.9**step), []),
    ],
    ids=lambda each: type(each).__name__,
)
def test_lengths_of_torchs_schedulers(scheduler: Any, expected: list[tuple[str, str, float]]) -> None:
    assert lengths(scheduler) == expected


def test_parts_of_a_sequence_are_added() -> None:
    own = optimizer()
    parts = [schedulers.LinearLR(own, 0.1, total_iters=10), schedulers.CosineAnnealingLR(own, 90)]
    warm_up, whole = horizons_of(schedulers.SequentialLR(own, parts, milestones=[10]))
    assert warm_up == Horizon("SequentialLR", "milestones", "warm-up", 10)
    assert whole == Horizon("SequentialLR", "milestones and T_max of CosineAnnealingLR", "whole", 100, rises_again=True)


def test_parts_of_a_chain_are_judged_each() -> None:
    own = optimizer()
    parts = [schedulers.LinearLR(own, 0.1, total_iters=10), schedulers.CosineAnnealingLR(own, 90)]
    assert lengths(schedulers.ChainedScheduler(parts)) == [("total_iters", "warm-up", 10), ("T_max", "whole", 90)]


def test_functions_of_the_step_are_read_but_not_called() -> None:
    """As `transformers.get_linear_schedule_with_warmup` makes them, and as a closure."""
    keywords = partial(linear_warm_up, num_warmup_steps=10, num_training_steps=100)
    assert bound_numbers(keywords) == {"num_warmup_steps": 10, "num_training_steps": 100}
    own = schedulers.LambdaLR.__new__(schedulers.LambdaLR)
    own.lr_lambdas = [keywords, keywords]
    assert lengths(own) == [("num_warmup_steps", "warm-up", 10), ("num_training_steps", "whole", 100)] or lengths(own) == [
        ("num_training_steps", "whole", 100),
        ("num_warmup_steps", "warm-up", 10),
    ]
    total_steps, rate = 50, "slow"
    assert bound_numbers(lambda step: step / total_steps if rate else 0) == {"total_steps": 50}


def test_names_that_could_mean_anything_are_left_alone() -> None:
    num_steps, max_steps, total_steps = 7, 8, 9
    own = build(schedulers.LambdaLR, lr_lambda=lambda step: min(1, step / num_steps))
    assert lengths(own) == []
    two = build(schedulers.LambdaLR, lr_lambda=lambda step: 1 if step < max_steps else total_steps)
    assert lengths(two) == []


def test_schedulers_of_other_packages_are_left_alone() -> None:
    class CosineAnnealingLR(schedulers.CosineAnnealingLR):
        pass

    assert lengths(build(CosineAnnealingLR, T_max=7)) == []
