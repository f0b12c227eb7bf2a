"""Shares of few runs: how large they may be in truth, and quantiles of steps."""

from __future__ import annotations

import math
from collections.abc import Sequence


def upper_bound(num_hits: int, num_trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a share (Clopper & Pearson, Biometrika, 1934).

    Args:
        num_hits: How often it happened.
        num_trials: How often it could have.
        confidence: Probability that the bound holds.

    Returns:
        The bound, 0 to 1; 1 when nothing was tried.
    """
    if not 0 <= num_hits <= num_trials:
        raise ValueError(f"num_hits is {num_hits}; it must be from 0 to num_trials, which is {num_trials}")
    if num_hits == num_trials:
        return 1.0
    from scipy.stats import beta

    return float(beta.ppf(confidence, num_hits + 1, num_trials - num_hits))


def quantile(values: Sequence[int], share: float) -> int | None:
    """Return the smallest value that at least this share of the values does not exceed; None when there is none."""
    if not values:
        return None
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]
