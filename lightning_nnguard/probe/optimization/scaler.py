"""Collector of the steps that the gradient scaler skips."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_nnguard.observation import ScalerSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.optimization.plan import OptimizationPlan

#: The scaler searches its scale in the first steps.
SEARCH_STEPS = 20
#: Sampled steps that are looked back on.
_WINDOW = 20


class ScalerCollector:
    """Whether the scale fell with a sampled step: then the step was skipped.

    Args:
        plan: What the Trainer knows.
        device: Where packed numbers live.
    """

    def __init__(self, plan: OptimizationPlan, device: torch.device) -> None:
        self._plan, self._device = plan, device
        self._nothing = torch.zeros(0, dtype=torch.float32, device=device)
        self._before: Tensor | None = None
        self._result: Tensor | None = None
        self._steps: deque[tuple[int, bool]] = deque(maxlen=_WINDOW)

    @torch.no_grad()
    def before_step(self) -> None:
        """Keep the scale before the scaler changes it."""
        scale = self._plan.scale()
        if self._before is None and scale is not None:
            self._before = scale.clone()

    @torch.no_grad()
    def end_batch(self) -> None:
        """Compare with the scale after the step, on the device."""
        scale, before = self._plan.scale(), self._before
        self._before = None
        if scale is not None and before is not None:
            self._result = torch.stack([torch.ones_like(scale), scale < before, scale]).reshape(-1).float().to(self._device)

    def abandon(self) -> None:
        """Forget a batch that does not come to its end."""
        self._before = self._result = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 3

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return whether there was a step, whether it was skipped, and the scale."""
        result, self._result = self._result, None
        return self._nothing, torch.zeros(3, dtype=torch.float32, device=self._device) if result is None else result

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return how many of the latest sampled steps were skipped."""
        is_known, fell, scale = maxima.tolist()
        if not is_known or at.step < SEARCH_STEPS:
            return ()
        self._steps.append((at.step, fell > 0))
        num_skipped = sum(each for _, each in self._steps)
        return [
            ScalerSeen(
                step=at.step, epoch=at.epoch, num_samples=len(self._steps), num_skipped=num_skipped,
                span=at.step - self._steps[0][0], scale=scale,
            )
        ]  # fmt: skip
