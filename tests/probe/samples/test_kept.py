from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_nnguard.probe.samples.kept import MAX_KEPT, MIN_KEPT, Kept, at_level, bits_of, copies, num_repeated, share_of, united

RANDOM = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 20_000)


def kept(*parts: list[int], max_kept: int = 1000) -> Kept:
    made = Kept(max_kept)
    for source, part in enumerate(parts):
        made.add(np.array(part, dtype=np.int64), source)
    return made


def test_counts_and_sources() -> None:
    found = kept([1, 2, 2, 3], [2, 4]).take()
    assert (found.digests.tolist(), found.sources.tolist(), found.counts.tolist()) == (
        [1, 2, 2, 3, 4],
        [0, 0, 1, 0, 1],
        [1, 2, 1, 1, 1],
    )
    assert num_repeated(found) == 3
    assert copies(found) == (1, 1)


def test_nothing() -> None:
    assert copies(Kept().take()) == (0, 0)
    assert num_repeated(Kept().take()) == 0
    assert united([]).digests.tolist() == []


def test_memory_is_bounded_and_the_same_samples_stay() -> None:
    first, second = Kept(500), Kept(500)
    for start in range(0, 20_000, 100):
        first.add(RANDOM[start : start + 100])
    for start in range(0, 6_000, 64):
        second.add(RANDOM[start : start + 64])
    ours, theirs = first.take(), second.take()
    assert max(len(ours.digests), len(theirs.digests)) <= 500
    assert ours.num_seen == first.num_seen == 20_000
    level = max(ours.level, theirs.level)
    shared = np.isin(at_level(theirs, level).digests, at_level(ours, level).digests)
    assert shared.all(), "whatever is kept of a part is kept of the whole"
    assert len(ours.digests) > 200


def test_many_equal_samples_take_no_room() -> None:
    same = Kept(100)
    for _ in range(50):
        same.add(np.zeros(64, dtype=np.int64))
    found = same.take()
    assert (len(found.digests), found.level, int(found.counts.sum())) == (1, 0, 3200)


@given(st.lists(st.lists(st.integers(-50, 50), max_size=30), max_size=4))
def test_a_union_is_what_one_set_would_have_kept(parts: list[list[int]]) -> None:
    apart = united([kept(part).take() for part in parts])
    together = kept([each for part in parts for each in part]).take()
    assert apart.digests.tolist() == together.digests.tolist()
    assert apart.counts.tolist() == together.counts.tolist()
    assert num_repeated(apart) == num_repeated(together)


@pytest.mark.parametrize(
    ("digests", "bits"), [([], 0), ([7], 0), ([7] * 9, 0), ([1, 2], 2), (list(range(32)), 160), ([1, 1, 2, 2], 4)]
)
def test_bits(digests: list[int], bits: float) -> None:
    assert bits_of(np.array(digests, dtype=np.int64)) == pytest.approx(bits)


def test_all_ranks_together_keep_as_many_as_one_alone():
    assert [share_of(num) * num for num in (1, 2, 8, 1024)] == [MAX_KEPT] * 4
    assert share_of(4096) == MIN_KEPT
