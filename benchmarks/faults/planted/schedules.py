"""Faults of schedules: their length, their interval, rates of zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    PolynomialLR,
    SequentialLR,
    StepLR,
)

from benchmarks.faults.data import digits, table, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import Decoder, mlp, next_token
from benchmarks.faults.program import Program, Task, adam

MakeSchedule = Callable[[Optimizer], LRScheduler]


class _Scheduled(Task):
    """A scheduler that steps once an epoch, as is usual with Lightning, or with each optimizer step."""

    def __init__(self, net: nn.Module, schedule: MakeSchedule, *, interval: str, **changes: Any) -> None:
        super().__init__(net, **changes)
        self._schedule, self._interval = schedule, interval

    def configure_optimizers(self) -> Any:
        optimizer = self._make_optimizer(list(self.parameters()))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._schedule(optimizer), "interval": self._interval}}


def _scheduled(schedule: MakeSchedule, *, interval: str = "step", epochs: int = 6, **trainer: Any) -> Program:
    train, validation = digits()
    module = _Scheduled(mlp(64, 10, depth=2), schedule, interval=interval, optimizer=adam(3e-3))
    return Program(module=module, train=train, validation=validation, epochs=epochs, trainer=trainer)


_STEPS = 23  # of an epoch of the digits


# -- NNG505: an interval forgotten or set without need


def cosine_of_so_many_epochs_stepped_with_each_batch() -> Program:
    return _scheduled(partial(CosineAnnealingLR, T_max=6))


def cosine_of_so_many_epochs_stepped_with_each_epoch() -> Program:
    return _scheduled(partial(CosineAnnealingLR, T_max=6), interval="epoch")


def drops_by_epochs_stepped_with_each_batch() -> Program:
    return _scheduled(partial(StepLR, step_size=3, gamma=0.3), epochs=12)


def drops_by_epochs_stepped_with_each_epoch() -> Program:
    return _scheduled(partial(StepLR, step_size=3, gamma=0.3), interval="epoch", epochs=12)


def fall_by_epochs_stepped_with_each_batch() -> Program:
    return _scheduled(partial(ExponentialLR, gamma=0.7), epochs=12)


def fall_by_epochs_stepped_with_each_epoch() -> Program:
    return _scheduled(partial(ExponentialLR, gamma=0.7), interval="epoch", epochs=12)


def decoder_with_a_cosine_of_all_steps(*, interval: str = "step") -> Program:
    (train, validation), num_tokens = text(16)
    schedule = partial(CosineAnnealingLR, T_max=4 * len(train))
    module = _Scheduled(Decoder(num_tokens), schedule, interval=interval, loss=next_token, optimizer=adam(3e-3))
    return Program(module=module, train=train, validation=validation, epochs=4)


def decoder_with_a_cosine_of_all_steps_stepped_with_each_epoch() -> Program:
    return decoder_with_a_cosine_of_all_steps(interval="epoch")


# -- NNG505: a warm-up that never ends


def warm_up_by_steps_stepped_with_each_epoch() -> Program:
    return _scheduled(partial(LinearLR, start_factor=0.01, total_iters=100), interval="epoch", epochs=8)


def warm_up_by_steps_stepped_with_each_batch() -> Program:
    return _scheduled(partial(LinearLR, start_factor=0.01, total_iters=100), epochs=8)


def _warm_up_and_cosine(optimizer: Optimizer, *, num_warm_up: int, num_steps: int) -> LRScheduler:
    parts = [LinearLR(optimizer, 0.01, total_iters=num_warm_up), CosineAnnealingLR(optimizer, num_steps - num_warm_up)]
    return SequentialLR(optimizer, parts, milestones=[num_warm_up])


def warm_up_longer_than_the_run() -> Program:
    return _scheduled(partial(_warm_up_and_cosine, num_warm_up=500, num_steps=5000))


def warm_up_of_a_tenth_of_the_run() -> Program:
    return _scheduled(partial(_warm_up_and_cosine, num_warm_up=14, num_steps=6 * _STEPS))


# -- NNG505: accumulation


def _linear(optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int) -> LRScheduler:
    def factor(step: int) -> float:
        if step < num_warmup_steps:
            return (step + 1) / num_warmup_steps
        return max(0.05, (num_training_steps - step) / (num_training_steps - num_warmup_steps))

    return LambdaLR(optimizer, factor)


def _accumulated(num_training_steps: int) -> Program:
    train, validation = digits(16)
    module = _Scheduled(
        mlp(64, 10, depth=2), partial(_linear, num_warmup_steps=10, num_training_steps=num_training_steps), interval="step"
    )
    return Program(module=module, train=train, validation=validation, epochs=6, trainer={"accumulate_grad_batches": 4})


def accumulation_counted_twice() -> Program:
    return _accumulated(6 * _STEPS // 4)


def accumulation_counted_once() -> Program:
    return _accumulated(6 * _STEPS)


def _one_cycle(num_epochs: int) -> Program:
    data = table("breast_cancer", 16)
    schedule = partial(OneCycleLR, max_lr=3e-3, total_steps=num_epochs * math.ceil(len(data.train) / 3))
    module = _Scheduled(mlp(30, 2), schedule, interval="step")
    return Program(module=module, train=data.train, validation=data.validation, epochs=9, trainer={"accumulate_grad_batches": 3})


def one_cycle_of_batches_that_are_accumulated() -> Program:
    return _one_cycle(27)


def one_cycle_of_optimizer_steps() -> Program:
    return _one_cycle(9)


def polynomial_of_half_the_run() -> Program:
    return _scheduled(partial(PolynomialLR, total_iters=6 * _STEPS // 2))


def polynomial_of_the_run() -> Program:
    return _scheduled(partial(PolynomialLR, total_iters=6 * _STEPS))


# -- NNG506


def _by_epochs(optimizer: Optimizer, *, first: float) -> LRScheduler:
    return LambdaLR(optimizer, lambda epoch: min(1.0, (epoch + first) / 4))


def warm_up_whose_first_epoch_has_no_rate() -> Program:
    return _scheduled(partial(_by_epochs, first=0.0), interval="epoch", epochs=8)


def warm_up_whose_first_epoch_has_a_rate() -> Program:
    return _scheduled(partial(_by_epochs, first=1.0), interval="epoch", epochs=8)


def _to_zero(optimizer: Optimizer, *, at: int) -> LRScheduler:
    return LambdaLR(optimizer, lambda step: max(0.0, 1 - step / at))


def _on_flowers(at: int) -> Program:
    data = table("wine", 16)
    module = Task(mlp(13, 3, depth=1), optimizer=adam(3e-3), scheduler=partial(_to_zero, at=at))
    return Program(module=module, train=data.train, validation=data.validation, epochs=30)


def rate_that_is_zero_for_half_of_the_run() -> Program:
    return _on_flowers(135)


def rate_that_is_zero_at_the_end_of_the_run() -> Program:
    return _on_flowers(270)


FAULTS = (
    Fault(
        make=cosine_of_so_many_epochs_stepped_with_each_batch, fixed=cosine_of_so_many_epochs_stepped_with_each_epoch,
        code="NNG505", before=1, where="lr_schedulers[0]", line="in epochs",
    ),
    Fault(
        make=drops_by_epochs_stepped_with_each_batch, fixed=drops_by_epochs_stepped_with_each_epoch, code="NNG505", before=1,
        where="lr_schedulers[0]", line="in epochs",
    ),
    Fault(
        make=fall_by_epochs_stepped_with_each_batch, fixed=fall_by_epochs_stepped_with_each_epoch, code="NNG505", before=1,
        where="lr_schedulers[0]", line="in epochs",
    ),
    Fault(
        make=decoder_with_a_cosine_of_all_steps_stepped_with_each_epoch, fixed=decoder_with_a_cosine_of_all_steps, code="NNG505",
        before=1, where="lr_schedulers[0]", line="in optimizer steps",
    ),
    Fault(
        make=warm_up_by_steps_stepped_with_each_epoch, fixed=warm_up_by_steps_stepped_with_each_batch, code="NNG505", before=1,
        where="lr_schedulers[0]", line="in optimizer steps",
    ),
    Fault(
        make=warm_up_longer_than_the_run, fixed=warm_up_of_a_tenth_of_the_run, code="NNG505", before=1, where="lr_schedulers[0]",
        line="never ends its warm-up",
    ),
    Fault(
        make=accumulation_counted_twice, fixed=accumulation_counted_once, code="NNG505", before=1, where="lr_schedulers[0]",
        line="counted twice",
    ),
    Fault(
        make=one_cycle_of_batches_that_are_accumulated, fixed=one_cycle_of_optimizer_steps, code="NNG505", before=1,
        where="lr_schedulers[0]", line="in batches",
    ),
    Fault(make=polynomial_of_half_the_run, fixed=polynomial_of_the_run, code="NNG505", before=1, where="lr_schedulers[0]"),
    Fault(make=warm_up_whose_first_epoch_has_no_rate, fixed=warm_up_whose_first_epoch_has_a_rate, code="NNG506", before=20),
    Fault(
        make=rate_that_is_zero_for_half_of_the_run, fixed=rate_that_is_zero_at_the_end_of_the_run, code="NNG506", before=270
    ),
)  # fmt: skip
