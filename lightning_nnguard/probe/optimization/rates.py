"""Collector of the learning rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_nnguard.observation import RateSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.optimization.host import HostCollector
from lightning_nnguard.probe.optimization.plan import OptimizationPlan


class RateCollector(HostCollector):
    """Learning rates of all groups at the step, and how long all of them have been zero.

    Args:
        optimizers: Returns the run's optimizers.
        plan: What the Trainer knows.
        device: Where packed numbers live.
    """

    def __init__(self, optimizers: Callable[[], Sequence[Optimizer]], plan: OptimizationPlan, device: torch.device) -> None:
        super().__init__(device)
        self._optimizers, self._plan = optimizers, plan
        self._rates: list[float] | None = None
        self._first_zero: int | None = None
        self._num_zeros = 0
        self._had_rate = False

    def before_step(self) -> None:
        """Take the rates at which the optimizers are about to step."""
        if self._rates is None:
            self._rates = rates_of(self._optimizers())

    def abandon(self) -> None:
        """Forget a batch that does not come to its end."""
        self._rates = None

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return the rates of this step; nothing where they are not known."""
        rates, self._rates = self._rates, None
        if not rates:
            return ()
        largest = max(rates)
        if largest != 0:
            self._first_zero, self._num_zeros, self._had_rate = None, 0, True
        else:
            self._first_zero = at.step if self._first_zero is None else self._first_zero
            self._num_zeros += 1
        seen = RateSeen(
            step=at.step, epoch=at.epoch, num_groups=len(rates), largest=largest, num_zero_samples=self._num_zeros,
            zero_span=0 if self._first_zero is None else at.step - self._first_zero, had_rate=self._had_rate,
            num_planned=self._plan.num_steps(), steps_per_epoch=self._plan.steps_per_epoch(),
        )  # fmt: skip
        return [seen]


def rates_of(optimizers: Sequence[Optimizer]) -> list[float] | None:
    """Return the learning rates of all groups with parameters; None when one has none or keeps it on an accelerator."""
    rates = []
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            rate = group.get("lr")
            if isinstance(rate, Tensor):
                rate = float(rate) if rate.device.type == "cpu" else None
            if not isinstance(rate, int | float):
                return None
            if group["params"]:
                rates.append(float(rate))
    return rates
