"""Rows of a deep model folded into fewer rows, neighbours with neighbours, the worst winning."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray


def fold(places: Sequence[str], severity: NDArray[np.uint8], max_rows: int) -> tuple[list[str], NDArray[np.uint8]]:
    """Return at most `max_rows` rows and their names.

    Neighbours below the same module become one row named "stage4.* (12)", as deep in the model as fits. Where that would leave
    less than a quarter of the rows, the next deeper level is cut into even pieces named "stage4.0 … 7 (48)".

    Args:
        places: Dotted names, in model order.
        severity: shape (places, columns), uint8.
        max_rows: Largest number of rows.
    """
    if len(places) <= max_rows:
        return list(places), severity
    groups = _groups(places, max_rows)
    starts = [group.start for group in groups]
    return [_name(places[group], places) for group in groups], np.maximum.reduceat(severity, starts, axis=0)


def _groups(places: Sequence[str], max_rows: int) -> list[slice]:
    deeper = [slice(index, index + 1) for index in range(len(places))]
    for depth in range(max(place.count(".") for place in places), 0, -1):
        groups = _below(places, depth)
        if len(groups) <= max_rows:
            break
        deeper = groups
    else:
        groups = []
    return groups if 4 * len(groups) >= max_rows else _pieces(deeper, max_rows)


def _below(places: Sequence[str], depth: int) -> list[slice]:
    """Return runs of neighbours whose first `depth` parts agree."""
    groups: list[slice] = []
    start = 0
    for _, members in groupby(places, key=lambda place: place.split(".")[:depth]):
        stop = start + sum(1 for _ in members)
        groups.append(slice(start, stop))
        start = stop
    return groups


def _pieces(groups: Sequence[slice], max_rows: int) -> list[slice]:
    """Return the groups joined into `max_rows` even pieces."""
    if len(groups) <= max_rows:
        return list(groups)
    cuts = [round(index * len(groups) / max_rows) for index in range(max_rows + 1)]
    return [slice(groups[low].start, groups[high - 1].stop) for low, high in pairwise(cuts)]


def _name(members: Sequence[str], places: Sequence[str]) -> str:
    if len(members) == 1:
        return members[0]
    paths = [member.split(".") for member in members]
    shared = 0
    while len({tuple(path[: shared + 1]) for path in paths}) == 1:
        shared += 1
    common = "".join(f"{part}." for part in paths[0][:shared])
    whole = len(members) == sum(f"{place}.".startswith(common) for place in places)
    if common and whole:
        return f"{common}* ({len(members)})"
    first, last = (next(iter(path[shared:]), "") for path in (paths[0], paths[-1]))
    return f"{common}{first} … {last} ({len(members)})"
