from itertools import pairwise

import pytest

from lightning_nnguard.probe.cadence import Cadence
from lightning_nnguard.probe.schedule import DENSE_EVERY, DENSE_STEPS, is_sampled


@pytest.mark.parametrize("every", [1, 7, 50, 300])
def test_one_step_of_each_window(every: int):
    assert is_sampled(0, every)
    length = min(every, DENSE_EVERY)
    for start in range(length, DENSE_STEPS - length, length):
        assert sum(is_sampled(step, every) for step in range(start, start + length)) == 1
    first = -(-DENSE_STEPS // every) * every
    for start in range(first, first + 40 * every, every):
        assert sum(is_sampled(step, every) for step in range(start, start + every)) == 1


@pytest.mark.parametrize("period", [2, 3, 5, 10, 50])
def test_no_alias_with_what_recurs(period: int):
    phases = {step % period for step in range(1000, 30_000) if is_sampled(step, 50)}
    assert len(phases) == period


def test_gap_is_bounded():
    cadence = Cadence(50, None)
    sampled = [step for step in range(20_000) if is_sampled(step, 50)]
    assert max(b - a for a, b in pairwise(sampled)) <= cadence.max_gap


def test_without_a_budget_nothing_stretches():
    cadence = Cadence(50, None)
    assert not cadence.stretch(1000, 900.0, 1000.0)
    assert cadence.every_n_steps == 50


def test_budget_stretches_by_the_excess():
    cadence = Cadence(50, 0.01)
    assert not cadence.stretch(DENSE_STEPS - 1, 50.0, 100.0)  # the dense start is not counted
    assert not cadence.stretch(DENSE_STEPS, 50.0, 100.0)
    assert not cadence.stretch(300, 51.0, 200.0)  # exactly the budget
    assert cadence.stretch(400, 58.0, 300.0)  # 4 % since the start
    assert cadence.every_n_steps == 200
    assert not cadence.stretch(600, 58.5, 400.0)


def test_stretching_ends_somewhere():
    cadence = Cadence(50, 0.001)
    cadence.stretch(200, 0.0, 0.0)
    for step in range(300, 5000, 100):
        cadence.stretch(step, step * 1.0, step * 1.0)
    assert cadence.every_n_steps == 10_000
