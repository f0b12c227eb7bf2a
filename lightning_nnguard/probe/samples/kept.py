"""A bounded set of digests with counts, sampled consistently: two sets keep or drop the same samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.int64]

#: Different digests that the sets of all ranks keep at most together, as long as each keeps no fewer than the second number.
MAX_KEPT = 65_536
MIN_KEPT = 64


class Thinned(NamedTuple):
    """The digests of a set that have so many zeros at their end; picklable.

    Attributes:
        level: Number of lowest bits that are zero in all of them.
        digests: shape (entries,): the digests, one for each source that has it.
        sources: shape (entries,): where it comes from, such as a worker.
        counts: shape (entries,): how often it came from there.
        num_seen: Samples that were offered.
    """

    level: int
    digests: Digests
    sources: Digests
    counts: Digests
    num_seen: int


_NONE = np.zeros(0, dtype=np.int64)


def share_of(world_size: int) -> int:
    """Return how many digests the set of one rank keeps at most: at the end of a validation every rank receives those of all."""
    return max(MAX_KEPT // world_size, MIN_KEPT)


class Kept:
    """Digests that have passed by, at most `max_kept` different ones.

    When there are more, only those whose lowest `level` bits are zero stay: a random part of the samples, because all bits of a
    digest are mixed, and the same part in every set of the same level.

    Args:
        max_kept: Different digests, by source, that are kept at most.
    """

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._max = max_kept
        self._now = Thinned(0, _NONE, _NONE, _NONE, 0)
        self._waiting: list[tuple[Digests, int]] = []
        self._num_waiting = 0

    @property
    def num_seen(self) -> int:
        """Samples that were offered."""
        return self._now.num_seen + sum(len(digests) for digests, _ in self._waiting)

    def add(self, digests: Digests, source: int = 0) -> None:
        """Take the digests of some samples."""
        self._waiting.append((digests, source))
        self._num_waiting += len(digests)
        if self._num_waiting > self._max:
            self.take()

    def take(self) -> Thinned:
        """Return what is kept."""
        if self._waiting:
            waiting, self._waiting, self._num_waiting = self._waiting, [], 0
            new = Thinned(
                0,
                np.concatenate([digests for digests, _ in waiting]),
                np.concatenate([np.full(len(digests), source, dtype=np.int64) for digests, source in waiting]),
                np.ones(sum(len(digests) for digests, _ in waiting), dtype=np.int64),
                sum(len(digests) for digests, _ in waiting),
            )
            self._now = united([self._now, new], self._max)
        return self._now


def united(sets: list[Thinned], max_kept: int = MAX_KEPT) -> Thinned:
    """Return the union of some sets, counts added, at a level at which at most `max_kept` entries are left."""
    level = max((each.level for each in sets), default=0)
    parts = [at_level(each, level) for each in sets]
    digests, sources, counts = (np.concatenate([part[i] for part in parts]) if parts else _NONE for i in (1, 2, 3))
    order = np.lexsort((sources, digests))
    digests, sources, counts = digests[order], sources[order], counts[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(digests) != 0) | (np.diff(sources) != 0)]) if len(digests) else _NONE
    counts = np.add.reduceat(counts, starts) if len(starts) else _NONE
    whole = Thinned(level, digests[starts], sources[starts], counts, sum(each.num_seen for each in sets))
    while len(whole.digests) > max_kept and whole.level < 63:
        whole = at_level(whole, whole.level + 1)
    return whole


def at_level(kept: Thinned, level: int) -> Thinned:
    """Return the part of a set that a higher level keeps."""
    if level <= kept.level:
        return kept
    stays = kept.digests & np.int64((1 << level) - 1) == 0
    return Thinned(level, kept.digests[stays], kept.sources[stays], kept.counts[stays], kept.num_seen)


def num_repeated(kept: Thinned) -> int:
    """Return how many samples of a set have an equal one in it."""
    _, inverse = np.unique(kept.digests, return_inverse=True)
    totals = np.bincount(inverse, weights=kept.counts) if len(inverse) else np.zeros(0)
    return int(totals[totals > 1].sum())


def copies(kept: Thinned) -> tuple[int, int]:
    """Return how many samples another source had made already though their own had not, and how many their own had made."""
    num_different = len(np.unique(kept.digests))
    return len(kept.digests) - num_different, int(kept.counts.sum()) - len(kept.digests)


def bits_of(digests: Digests) -> float:
    """Return minus the logarithm, base 2, of the chance that samples drawn like these come in this order.

    Each is met again with the chance that two of them are equal (the collision probability of their empirical distribution), so
    a batch of one kind of sample says nothing, and one of 32 different samples says 160 bits.

    Args:
        digests: shape (samples,): the samples of a batch, in their order.
    """
    if not len(digests):
        return 0.0
    counts = np.unique(digests, return_counts=True)[1]
    return -len(digests) * math.log2(float((counts**2).sum()) / len(digests) ** 2)
