"""How often steps are sampled, and how a time budget stretches that."""

from __future__ import annotations

import math

from lightning_nnguard.probe.schedule import DENSE_EVERY, DENSE_STEPS

_LONGEST = 10_000


class Cadence:
    """Length of the sampling window. A budget may stretch it, from merged times alone, so that all ranks do alike.

    The dense start is not counted: its cost is over soon. From then on, whenever the guard's share of the time exceeds the budget,
    the window grows by as much.

    Args:
        every_n_steps: Length of the window in steps.
        budget: Largest share of the run's time, 0 to 1; None for no limit.
    """

    def __init__(self, every_n_steps: int, budget: float | None) -> None:
        self.every_n_steps = every_n_steps
        self._budget = budget
        self._from: tuple[float, float] | None = None

    @property
    def max_gap(self) -> int:
        """Most steps from one sampled step to the next: from the start of one window to the end of the next."""
        return 2 * max(self.every_n_steps, DENSE_EVERY) + 1

    def stretch(self, step: int, guard_seconds: float, run_seconds: float) -> bool:
        """Take the times so far and return whether the window has grown.

        Args:
            step: A sampled step.
            guard_seconds: Seconds that the guard has taken since training began, summed over ranks.
            run_seconds: Seconds since training began, summed over ranks.
        """
        if self._budget is None or step < DENSE_STEPS:
            return False
        if self._from is None:
            self._from = guard_seconds, run_seconds
            return False
        share = (guard_seconds - self._from[0]) / max(run_seconds - self._from[1], 1e-9)
        if share <= self._budget or self.every_n_steps >= _LONGEST:
            return False
        self.every_n_steps = min(math.ceil(self.every_n_steps * share / self._budget), _LONGEST)
        self._from = guard_seconds, run_seconds
        return True
