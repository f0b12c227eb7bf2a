"""Pitfalls 1, 2, 3: code that is compiled before or while the guard watches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.running import run_module

PROGRAMS = ["called_before", "full_graph", "in_place"]
PARAMETERS = sorted(f"{name}.{kind}" for name in ("net.0", "net.1", "net.3", "head") for kind in ("weight", "bias"))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    ended = run_module("tests.pitfalls.compiled_late", folder=tmp_path_factory.mktemp("compiled"))
    assert ended.returncode == 0, ended.stderr[-3000:]
    content: dict[str, Any] = json.loads(ended.stdout)
    return content


@pytest.mark.pitfall(1)
def test_hooks_that_come_late_never_fire(shown: dict[str, Any]) -> None:
    """The reason for the next test; once torch honours such hooks, more can be seen."""
    assert shown["late hook"] == 0


@pytest.mark.pitfall(1)
@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_compiled_is_told_and_gets_no_rows_without_numbers(shown: dict[str, Any], program: str) -> None:
    after = shown[program]
    assert any(place == "head" for place in after["outputs"])
    assert not any(place.startswith("net") for place in after["outputs"])
    assert any(note.startswith("code is compiled in this process") and "compiled regions" in note for note in after["notes"])
    assert (after["findings"], after["bad"], after["error"]) == ([], [], "")


@pytest.mark.pitfall(2)
@pytest.mark.pitfall(3)
@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_compiled_again_and_no_graph_breaks(shown: dict[str, Any], program: str) -> None:
    after, bare = shown[program], shown[f"{program}, bare"]
    assert bare["graphs"] >= 2  # in train mode and in eval mode, which the sanity check meets first
    assert (after["graphs"], after["breaks"]) == (bare["graphs"], 0)
    assert after["state"] == bare["state"]
    assert after["hooks"] == []


@pytest.mark.pitfall(3)
@pytest.mark.parametrize("program", PROGRAMS)
def test_gradients_and_updates_of_compiled_layers_are_seen_under_the_users_names(shown: dict[str, Any], program: str) -> None:
    after = shown[program]
    assert after["gradients"] == after["updates"] == PARAMETERS
