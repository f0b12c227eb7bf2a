from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lightning_nnguard.observation import EpochOrderSeen, RepeatedBatchSeen, WorkerSamplesSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.samples.kept import Kept
from lightning_nnguard.probe.samples.loading import Loading
from lightning_nnguard.probe.samples.training import EpochOrders, ReadBatch, Repeats, Workers

LOADING = Loading(population=100, hands_on=False, sampler="RandomSampler", num_workers=2)


def batch(number: int, content: int, *, epoch: int = 0, index: int | None = None, num: int = 4) -> ReadBatch:
    at = At(step=number, epoch=epoch, batch_index=number if index is None else index)
    return ReadBatch(number, at, content, content * 100 + np.arange(num), True, False)


def repeats(contents: list[int], loading: Loading = LOADING, numbers: list[int] | None = None) -> list[RepeatedBatchSeen]:
    watch, told = Repeats(), []
    for number, content in zip(numbers or range(len(contents)), contents, strict=False):
        watch.take(batch(number, content))
        told += watch.told(loading)
    assert all(isinstance(each, RepeatedBatchSeen) for each in told)
    return told  # type: ignore[return-value]


def test_equal_batches_in_a_row_are_told_as_they_double() -> None:
    told = repeats([1] * 14)
    assert [each.num_batches for each in told] == [3, 6, 12]
    assert (told[-1].step, told[-1].num_samples, told[-1].population, told[-1].hands_on) == (11, 4, 100, False)
    assert told[-1].bits == pytest.approx(11 * 8)


@pytest.mark.parametrize("contents", [[1, 2, 3, 4] * 5, [1, 1, 2, 2, 3, 3], [1, 1, 2, 1, 1, 2]])
def test_other_batches_are_not_told(contents: list[int]) -> None:
    assert repeats(contents) == []


def test_a_gap_ends_a_row() -> None:
    assert repeats([1] * 6, numbers=[0, 1, 3, 4, 6, 7]) == []
    assert repeats([1] * 6, numbers=[0, 1, 3, 4, 5, 6])[0].num_batches == 3


def test_one_batch_is_an_epoch() -> None:
    assert repeats([1] * 20, Loading(is_one_batch=True)) == []


def orders(*epochs: list[int], loading: Loading = LOADING) -> list[Any]:
    watch, told, number = EpochOrders(), [], 0
    for epoch, contents in enumerate(epochs):
        for index, content in enumerate(contents):
            watch.take(batch(number, content, epoch=epoch, index=index))
            told += watch.told(loading)
            number += 1
    assert all(isinstance(each, EpochOrderSeen) for each in told)
    return told


def test_epochs_that_begin_alike() -> None:
    (told,) = orders([1, 2, 3], [1, 2, 3])
    assert (told.num_equal, told.num_batches, told.num_samples, told.epoch, told.step) == (3, 3, 12, 1, 5)
    assert told.bits == pytest.approx(24)
    assert told.sampler == "RandomSampler"


def test_only_the_first_eight_batches_count() -> None:
    (told,) = orders([*range(8), 100, 101], [*range(8), 200, 201])
    assert (told.num_equal, told.num_batches) == (8, 8)


def test_each_epoch_is_told_once() -> None:
    assert [each.epoch for each in orders([1, 2], [1, 2], [1, 2])] == [1, 2]


@pytest.mark.parametrize("second", [[4, 5, 6], [2, 3, 1], [1, 2]], ids=["others", "another order", "not complete"])
def test_epochs_that_differ(second: list[int]) -> None:
    assert orders([1, 2, 3], second) == []


def test_nothing_is_said_where_no_shuffling_was_asked_for() -> None:
    assert orders([1, 2], [1, 2], loading=Loading()) == []


def workers(contents: list[int], loading: Loading = LOADING, first: int = 0) -> list[Any]:
    watch, kept, told = Workers(), Kept(), []
    for number, content in enumerate(contents):
        each = batch(number, content, index=first + number)
        watch.take(each, loading)
        kept.add(each.samples, each.at.batch_index % 2)
        told += watch.told(kept, loading)
    assert all(isinstance(each, WorkerSamplesSeen) for each in told)
    return told


def test_workers_that_make_the_same() -> None:
    told = workers([1, 1, 2, 2, 3, 3, 4, 4])
    assert [(each.num_rounds, each.num_equal_rounds) for each in told] == [(2, 2), (4, 4)]
    assert (told[-1].num_samples, told[-1].num_across, told[-1].num_within) == (32, 16, 0)
    assert told[-1].bits == pytest.approx(4 * 8)


def test_repetition_within_a_worker() -> None:
    (told,) = workers([1, 2, 1, 3, 1, 2, 1, 1])
    assert (told.num_rounds, told.num_equal_rounds) == (4, 1)
    assert (told.num_across, told.num_within) == (4, 16)


def test_workers_that_share() -> None:
    assert workers([1, 2, 3, 4, 5, 6]) == []


def test_a_copied_generator_is_told_at_once() -> None:
    told = workers([1, 2, 3, 4], Loading(num_workers=2, generator="Noisy.rng (numpy Generator)"))
    assert [each.generator for each in told] == ["Noisy.rng (numpy Generator)"]


@pytest.mark.parametrize("num", [0, 1])
def test_one_worker_has_nobody_to_repeat(num: int) -> None:
    assert workers([1] * 8, Loading(num_workers=num, generator="Noisy.rng (numpy Generator)")) == []


def test_an_epoch_that_was_not_seen_from_its_start() -> None:
    assert workers([1, 1, 2, 2], first=1) == []
