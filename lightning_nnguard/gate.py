"""The gate: symptoms are worth a warning only while the run is not learning."""

from __future__ import annotations

from lightning_nnguard.observation import LossSeen

MIN_STEPS = 20
MIN_IMPROVEMENT = 0.02
MAX_STEPS_WITHOUT_BEST = 500


def is_learning(seen: LossSeen) -> bool:
    """Return whether a run gets anywhere, judged by its smoothed loss.

    In the first 20 steps it is too early to tell, which counts as learning. When the loss of a constant prediction is known, the
    run is learning while it is 2 % better than that. Otherwise it is learning while its loss is 2 % lower than at first and has
    reached a new best within 500 steps.
    """
    if seen.num_steps < MIN_STEPS:
        return True
    if seen.chance is not None:
        return seen.smoothed < (1 - MIN_IMPROVEMENT) * seen.chance
    improved = seen.smoothed < seen.first - MIN_IMPROVEMENT * abs(seen.first)
    return improved and seen.step - seen.smoothed_min_step <= MAX_STEPS_WITHOUT_BEST
