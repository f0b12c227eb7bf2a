"""Which steps are sampled: decided from the step counter alone, so that all ranks decide alike."""

from __future__ import annotations

from functools import lru_cache

DENSE_STEPS = 200
DENSE_EVERY = 10


def _mix(value: int) -> int:
    """Return a well-mixed 64-bit integer (splitmix64, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)


@lru_cache(maxsize=16)
def _place(window: int, length: int, is_dense: bool) -> int:
    """Return the place of the sampled step in a window."""
    return _mix(window * 2 + is_dense) % length


def is_sampled(step: int, every_n_steps: int) -> bool:
    """Return whether a step is sampled.

    Step 0 is, and then one step of each window of `every_n_steps` steps, at a pseudo-random place in the window, because a fixed
    place aliases with whatever else recurs (optimizers that take turns, a loader's last batch). The first 200 steps have windows
    of at most 10 steps: most faults show there, and a user waits for them.

    Args:
        step: Optimizer step, from 0.
        every_n_steps: Length of a window in steps, at least 1.
    """
    if step == 0:
        return True
    is_dense = step < DENSE_STEPS
    length = min(every_n_steps, DENSE_EVERY) if is_dense else every_n_steps
    window, place = divmod(step, length)
    return place == _place(window, length, is_dense)
