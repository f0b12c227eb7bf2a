"""Rows: ranks agree on the places, in one order, whatever each of them met first."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from lightning_nnguard.probe.rows import Row, Rows

PLACES = st.lists(st.sampled_from("abcdefgh"), max_size=12)


def row(where: str) -> Row:
    return Row(where=where, kind="relu")


def find_or_add(rows: Rows, place: str) -> None:
    if rows.find(place) is None:
        rows.add(row(place))


def test_a_single_process_shares_at_once() -> None:
    rows = Rows()
    find_or_add(rows, "a")
    assert [each.where for each in rows.shared] == ["a"]
    assert rows.num_unshared == 0
    rows.agree()
    assert rows.shared_index() == [0]


@given(st.lists(st.tuples(PLACES, PLACES, PLACES), max_size=4))
def test_ranks_agree_after_each_round(rounds: list[tuple[list[str], list[str], list[str]]]) -> None:
    everyone: list[Rows] = []

    def gather(value: Sequence[Row]) -> Sequence[Sequence[Row]]:
        return [list(each.local) for each in everyone]

    everyone += [Rows(gather) for _ in range(3)]
    for places in rounds:
        before = [each.where for each in everyone[0].shared]
        for rows, met in zip(everyone, places, strict=True):
            for place in met:
                find_or_add(rows, place)
        if any(rows.num_unshared for rows in everyone):
            for rows in everyone:
                rows.agree()
        first = [each.where for each in everyone[0].shared]
        assert all([each.where for each in rows.shared] == first for rows in everyone)
        assert first[: len(before)] == before  # what is shared keeps its place
        assert len(set(first)) == len(first)
        assert not any(rows.num_unshared for rows in everyone)
        for rows in everyone:
            for place, index in zip(first, rows.shared_index(), strict=True):
                assert (rows.local[index].where if index >= 0 else None) == (place if rows.find(place) is not None else None)
