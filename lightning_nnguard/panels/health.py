"""The health of every layer over the whole run, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NOT_SEEN = 0
OK = 1


def _nothing() -> NDArray[np.uint8]:
    return np.zeros((0, 0), np.uint8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Health:
    """Severity by layer and time.

    Attributes:
        places: Rows: names of layers, in model order; a new `Health` may name them before anything is seen.
        steps: Columns: the first sampled step of each.
        severity: shape (places seen so far, steps), uint8: 0 is not seen, 1 is healthy, 10, 20 and 30 are severities.
        last_step: Newest sampled step; -1 before the first.
        stride: Sampled steps in each full column.
        num_in_last: Sampled steps in the last column.
    """

    places: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    severity: NDArray[np.uint8] = field(default_factory=_nothing)
    last_step: int = -1
    stride: int = 1
    num_in_last: int = 0


def extend(health: Health, step: int, severities: Mapping[str, int], max_columns: int = 240) -> Health:
    """Return the health with one more sampled step.

    When the columns are used up, neighbours are merged pairwise and the stride doubles, so that the whole run stays visible at
    one resolution. The worst severity of a merged column wins: a fault of a single step never disappears.

    Args:
        health: The run so far.
        step: The sampled step; the newest step again adds to its column.
        severities: Severity by place, `OK` where all is well; places that are new get a new row at the end.
        max_columns: Largest number of columns.

    Raises:
        ValueError: If `max_columns` is not positive.
    """
    if max_columns < 1:
        raise ValueError(f"max_columns is {max_columns!r}; it must be at least 1")
    known = set(health.places)
    places = (*health.places, *(place for place in severities if place not in known))
    newest = np.array([severities.get(place, NOT_SEEN) for place in places], np.uint8)
    old = np.zeros((len(places), len(health.steps)), np.uint8)
    old[: len(health.severity)] = health.severity
    again = step == health.last_step
    if health.steps and (again or health.num_in_last < health.stride):
        old[:, -1] = np.maximum(old[:, -1], newest)
        num_in_last = health.num_in_last + (not again)
        return Health(
            places=places, steps=health.steps, severity=old, last_step=step, stride=health.stride, num_in_last=num_in_last
        )
    severity, steps, stride, num_in_last = np.column_stack([old, newest]), (*health.steps, step), health.stride, 1
    while len(steps) > max_columns:
        num_in_last += stride * (len(steps) % 2 == 0)
        severity = np.maximum.reduceat(severity, np.arange(0, len(steps), 2), axis=1)
        steps, stride = steps[::2], stride * 2
    return Health(places=places, steps=steps, severity=severity, last_step=step, stride=stride, num_in_last=num_in_last)
