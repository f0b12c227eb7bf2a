"""Collector of what the Trainer's clipping leaves of the gradient."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch.optim import Optimizer

from lightning_nnguard.observation import ClippingSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.gradients import GradientCollector
from lightning_nnguard.probe.optimization.host import HostCollector
from lightning_nnguard.probe.optimization.plan import OptimizationPlan

#: Sampled steps that are looked back on.
_WINDOW = 20


class ClippingCollector(HostCollector):
    """Compares the norm of all gradients with the limit of the Trainer.

    Args:
        optimizers: Returns the run's optimizers.
        gradients: Measures the gradients, before they are clipped.
        plan: What the Trainer knows.
        device: Where packed numbers live.
    """

    def __init__(
        self, optimizers: Callable[[], Sequence[Optimizer]], gradients: GradientCollector, plan: OptimizationPlan,
        device: torch.device,
    ) -> None:  # fmt: skip
        super().__init__(device)
        self._optimizers, self._gradients, self._plan = optimizers, gradients, plan
        self._norms: deque[tuple[int, float]] = deque(maxlen=_WINDOW)

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return how much was clipped on the latest sampled steps; nothing where the Trainer does not clip norms."""
        limit, optimizers, norm = self._plan.clip_norm(), self._optimizers(), self._gradients.total
        if limit is None or len(optimizers) != 1 or norm is None:
            return ()
        self._norms.append((at.step, norm))
        return [
            ClippingSeen(
                step=at.step, epoch=at.epoch, limit=limit, kind=type(optimizers[0]).__name__,
                is_plain=type(optimizers[0]) is torch.optim.SGD, num_samples=len(self._norms),
                num_clipped=sum(each > limit for _, each in self._norms),
                factor=median(limit / max(each, limit) for _, each in self._norms), span=at.step - self._norms[0][0],
            )
        ]  # fmt: skip
