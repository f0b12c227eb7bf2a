"""Observations of an audit from several ranks."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.probe.audit.merge import merged
from tests.builders import loss_call

HEAD, TAIL = loss_call(where="head"), loss_call(where="tail")


def seen_by(*ranks: int, of: LossCallSeen = HEAD) -> list[LossCallSeen]:
    return [replace(of, rank=rank) for rank in ranks]


def test_what_all_ranks_saw_alike_is_told_once_without_a_rank() -> None:
    assert merged([[HEAD, TAIL], [TAIL, HEAD]]) == [HEAD, TAIL]


def test_what_one_rank_saw_has_its_rank() -> None:
    assert merged([[HEAD], [HEAD, TAIL]]) == [HEAD, *seen_by(1, of=TAIL)]


def test_what_some_ranks_saw_is_told_for_each_of_them() -> None:
    assert merged([[HEAD], [], [HEAD]]) == seen_by(0, 2)


def test_other_numbers_are_another_observation() -> None:
    assert merged([[HEAD], [loss_call(where="head", input_min=-2.0)]]) == [
        *seen_by(0),
        *seen_by(1, of=loss_call(where="head", input_min=-2.0)),
    ]


def test_a_place_that_runs_twice_on_one_rank_is_no_second_rank() -> None:
    assert merged([[HEAD, HEAD], []]) == seen_by(0)
    assert merged([[HEAD, HEAD], [HEAD]]) == [HEAD]


def test_a_single_process_names_no_rank() -> None:
    assert merged([[HEAD, TAIL, HEAD]]) == [HEAD, TAIL]


def test_nothing_seen_is_nothing_told() -> None:
    assert merged([]) == merged([[], []]) == []


@given(st.lists(st.lists(st.sampled_from([loss_call(where=name) for name in "abc"]), max_size=4), min_size=1, max_size=4))
def test_nothing_is_lost_and_nothing_is_told_twice(by_rank: list[list[LossCallSeen]]) -> None:
    told = merged(by_rank)
    assert len(set(told)) == len(told)
    expected = {
        (seen.where, rank if not all(seen in each for each in by_rank) else None)
        for rank, observations in enumerate(by_rank)
        for seen in observations
    }
    assert {(seen.where, seen.rank) for seen in told} == expected
