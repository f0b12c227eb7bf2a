from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_nnguard.panels.fold import fold
from lightning_nnguard.panels.health import Health, extend
from lightning_nnguard.panels.health_map import COLORS, health_map

RUNS = st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from([1, 10, 20, 30])), min_size=1, max_size=120)


def watched(run: list[dict[str, int]], max_columns: int = 240, health: Health | None = None) -> Health:
    """Return the health after sampled steps 0, 10, 20, ..."""
    health = health or Health()
    for index, severities in enumerate(run):
        health = extend(health, 10 * index, severities, max_columns)
    return health


def test_columns_are_steps_and_rows_are_places() -> None:
    health = watched([{"a": 1}, {"a": 20, "b": 1}, {"b": 30}])
    assert (health.places, health.steps, health.last_step) == (("a", "b"), (0, 10, 20), 20)
    assert health.severity.tolist() == [[1, 20, 0], [0, 1, 30]]
    assert health.severity.dtype == np.uint8


def test_places_named_beforehand_keep_their_order() -> None:
    health = watched([{"b": 1}, {"c": 1}], health=Health(places=("a", "b")))
    assert health.places == ("a", "b", "c")
    assert health.severity.tolist() == [[0, 0], [1, 0], [0, 1]]


def test_extending_leaves_the_old_health_as_it_was() -> None:
    old = watched([{"a": 1}] * 3, max_columns=2)
    before = old.severity.copy()
    extend(old, 30, {"a": 30, "b": 30}, 2)
    assert np.array_equal(old.severity, before)
    assert old.places == ("a",)


def test_same_step_again_adds_to_its_column() -> None:
    health = extend(watched([{"a": 20}]), 0, {"a": 1, "b": 10})
    assert (health.steps, health.num_in_last) == ((0,), 1)
    assert health.severity.tolist() == [[20], [10]]


@given(run=RUNS, max_columns=st.integers(1, 9))
def test_merged_columns_hold_the_worst_of_their_steps(run: list[dict[str, int]], max_columns: int) -> None:
    health = watched(run, max_columns)
    assert len(health.steps) <= max_columns
    assert len(health.steps) * health.stride >= len(run)
    chunks = [run[start : start + health.stride] for start in range(0, len(run), health.stride)]
    assert health.steps == tuple(10 * index * health.stride for index in range(len(chunks)))
    for row, place in enumerate(health.places):
        assert health.severity[row].tolist() == [max(each.get(place, 0) for each in chunk) for chunk in chunks]


def test_half_of_the_columns_are_always_used() -> None:
    assert len(watched([{"a": 1}] * 10_001, max_columns=240).steps) > 120


def test_max_columns_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_columns is 0"):
        extend(Health(), 0, {}, 0)


def test_rows_that_fit_are_not_folded() -> None:
    names, severity = fold(("a.0", "a.1"), np.array([[1], [20]], np.uint8), 2)
    assert (names, severity.tolist()) == (["a.0", "a.1"], [[1], [20]])


def test_neighbours_fold_below_their_module_and_the_worst_wins() -> None:
    places = ("stem", *(f"stage{stage}.{index}" for stage in (1, 2) for index in range(3)), "head")
    severity = np.array([[1, 1], [1, 1], [1, 30], [0, 1], [1, 1], [20, 1], [1, 0], [10, 1]], np.uint8)
    names, folded = fold(places, severity, 4)
    assert names == ["stem", "stage1.* (3)", "stage2.* (3)", "head"]
    assert folded.tolist() == [[1, 1], [1, 30], [20, 1], [10, 1]]


def test_flat_models_fold_into_even_pieces_with_different_names() -> None:
    names, folded = fold([f"net.{index}" for index in range(1000)], np.eye(1000, dtype=np.uint8) * 30, 100)
    assert names[:2] == ["net.0 … 9 (10)", "net.10 … 19 (10)"]
    assert len(set(names)) == 100
    assert folded.sum(axis=0).tolist() == [30] * 1000


@given(
    places=st.lists(st.from_regex(r"[ab]{0,2}(\.[ab01]{0,2}){0,3}", fullmatch=True), min_size=1, max_size=60, unique=True),
    max_rows=st.integers(1, 12),
)
def test_folding_keeps_every_fault_whatever_the_names(places: list[str], max_rows: int) -> None:
    names, folded = fold(places, np.eye(len(places), dtype=np.uint8), max_rows)
    assert len(names) == len(folded) <= max(max_rows, 1)
    assert folded.sum(axis=0).tolist() == [1] * len(places)


def color(severity: int) -> list[int]:
    return [*COLORS[severity][1]]


def test_map_shows_every_severity_where_it_was() -> None:
    health = watched([{"a": 1, "b": 30}, {"a": 20}, {"a": 10, "b": 1}])
    pixels = health_map(health).pixels
    plot = pixels[56:-48]
    assert plot.shape[0] == 2 * 24
    left = int(np.argmax((plot[4] == color(1)).all(axis=1)))
    cells = [[plot[12 + 24 * row, left + 24 + 48 * column].tolist() for column in range(3)] for row in range(2)]
    assert cells == [[color(1), color(20), color(10)], [color(30), color(0), color(1)]]


def test_a_fault_of_one_step_is_visible_in_the_map_of_a_long_run_of_a_large_model() -> None:
    places = [f"stage{index // 100}.block{index // 10 % 10}.{index % 10}" for index in range(1000)]
    run = [dict.fromkeys(places, 1) for _ in range(500)]
    run[137]["stage3.block3.7"] = 30
    pixels = health_map(watched(run)).pixels
    in_plot = pixels[56:-48]
    assert (in_plot == color(30)).all(axis=2).any()
    assert not (health_map(watched([dict.fromkeys(places, 1)] * 500)).pixels[56:-48] == color(30)).all(axis=2).any()


@pytest.mark.parametrize("num_places", [1, 8, 200, 1000, 5000])
@pytest.mark.parametrize("num_steps", [1, 3, 240, 241])
def test_map_is_bounded(num_places: int, num_steps: int) -> None:
    places = [f"some.long.prefix.of.a.layer.stage{index % 4}.blocks.{index}" for index in range(num_places)]
    health = Health(
        places=tuple(places),
        steps=tuple(range(num_steps)),
        severity=np.ones((num_places, num_steps), np.uint8),
        last_step=num_steps - 1,
    )
    height, width, channels = health_map(health).pixels.shape
    assert channels == 3
    assert height <= 2400
    assert width <= 1400


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a|b]", "line\nbreak\tand\x00null", "", "模型.层", "x" * 10_000])
def test_map_takes_any_name(name: str) -> None:
    chart = health_map(watched([{name: 30, "other": 1}]))
    assert chart.tag == "nnguard/health"
    assert chart.pixels.shape[0] == 56 + 2 * 24 + 48
    assert chart.pixels.shape[1] <= 1400


def test_a_name_is_one_line() -> None:
    odd, plain = (health_map(watched([{name: 30}])).pixels for name in ("line\nbreak", "line break"))
    assert np.array_equal(odd, plain)


def test_map_of_nothing_is_a_small_picture() -> None:
    chart = health_map(Health())
    assert chart.pixels.shape == (60, 480, 3)
    assert chart.step == 0


def test_names_of_layers_in_trouble_are_inked_differently() -> None:
    well, ill = watched([{"layer": 1}]), watched([{"layer": 30}])
    assert replace(well).last_step == 0

    def inks(health: Health) -> bool:
        pixels = health_map(health).pixels
        left = int(np.argmax((pixels[60] == color(int(health.severity[0, 0]))).all(axis=1)))
        return bool((pixels[56:80, :left] == color(30)).all(axis=2).any())

    assert inks(ill)
    assert not inks(well)
