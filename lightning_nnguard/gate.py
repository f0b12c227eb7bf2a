"""The gate: symptoms are worth a warning only while the run is not learning."""

from __future__ import annotations

from lightning_nnguard.observation import LossSeen

MIN_STEPS = 20
MIN_IMPROVEMENT = 0.02
MAX_LOST = 0.5


def is_learning(seen: LossSeen) -> bool:
    """Return whether a run gets anywhere, or has got somewhere, judged by its smoothed loss.

    In the first 20 steps it is too early to tell, which counts as learning, and so does a loss that is falling: a run may start
    far above chance. Otherwise, when the loss of a constant prediction is known, the run is learning while it is 2 % better than
    that. When it is not known, the loss must be 2 % lower than at first and keep half of what it gained; a run that stays at its
    best has converged, which is no fault. A loss that can be zero or negative (policy gradients, critics, likelihoods of
    densities), or that is one of several (manual optimisation), has no level to compare with and proves nothing.
    """
    if seen.num_steps < MIN_STEPS or seen.is_falling:
        return True
    if seen.chance is not None:
        return seen.smoothed < (1 - MIN_IMPROVEMENT) * seen.chance
    if not seen.is_objective or min(seen.first, *seen.recent) <= 0:
        return True
    gain = seen.first - seen.smoothed_min
    return seen.first - seen.smoothed > max(MIN_IMPROVEMENT * seen.first, (1 - MAX_LOST) * gain)
