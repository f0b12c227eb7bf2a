import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_nnguard.probe.units import MIN_SAMPLES, UnitWindows, expected_distinct

NONE = np.zeros(4, dtype=bool)
FIRST = np.array([True, False, False, False])


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_distinct_never_exceeds_draws_nor_population(draws: int, population: int):
    assert 0 < expected_distinct(draws, population) <= min(draws, population) + 1e-6


def test_distinct_agrees_with_drawing():
    rng = np.random.default_rng(0)
    drawn = np.mean([len(np.unique(rng.integers(0, 1437, 900))) for _ in range(50)])
    assert expected_distinct(900, 1437) == pytest.approx(drawn, rel=0.01)


def test_nothing_is_said_before_there_is_enough():
    windows = UnitWindows()
    assert windows.add("a", NONE, MIN_SAMPLES - 1) is None
    window = windows.add("a", NONE, 1)
    assert window is not None
    assert (window.num_dead, window.num_samples, window.num_windows) == (4, 1000, 2)


def test_one_step_is_not_enough_however_large():
    assert UnitWindows().add("a", NONE, 100_000) is None


def test_a_unit_that_fired_within_the_window_is_alive():
    windows = UnitWindows()
    windows.add("a", FIRST, 500)
    window = windows.add("a", NONE, 500)
    assert window is not None
    assert window.num_dead == 3


def test_the_window_slides():
    windows = UnitWindows()
    windows.add("a", ~NONE, 500)
    windows.add("a", NONE, 500)
    window = windows.add("a", NONE, 500)
    assert window is not None
    assert window.num_dead == 4


def test_repeated_samples_are_no_new_evidence():
    windows = UnitWindows()
    windows.population = 1200
    said = [windows.add("a", NONE, 400) for _ in range(10)]
    first = next(i for i, window in enumerate(said) if window is not None)
    assert first == 5  # 2,400 draws of 1,200 samples are 1,037 distinct ones
    assert said[first].num_samples < 1200


def test_a_small_data_set_is_shown_but_never_reaches_a_verdict():
    windows = UnitWindows()
    windows.population = 200
    window = [windows.add("a", NONE, 64) for _ in range(20)][-1]
    assert window is not None
    assert window.num_samples < 200


def test_layers_are_apart():
    windows = UnitWindows()
    windows.add("a", FIRST, 500)
    assert windows.add("b", NONE, 500) is None
