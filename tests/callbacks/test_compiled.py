"""Compiled models: evaluation is audited without the compiler, a few times, and nothing else changes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.running import run_module

Shown = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    ended = run_module("tests.callbacks.compiled_runs", folder=tmp_path_factory.mktemp("compiled"))
    assert ended.returncode == 0, ended.stderr[-3000:]
    content: Shown = json.loads(ended.stdout)
    return content


@pytest.mark.pitfall(2)
@pytest.mark.parametrize("program", ["part", "whole", "in place", "noisy", "broken", "validated"])
def test_a_fault_within_compiled_code_is_named_from_the_first_batch_of_validation(shown: Shown, program: str) -> None:
    code, step, message = shown[program]["findings"][0]
    assert (code, step) == ("NNG208", 0)
    assert re.search(r"made by \w+\.py:\d+, `self(.net\(x\)|\(batch\[0\]\).softmax\(1\))`", message), message


@pytest.mark.pitfall(1)
@pytest.mark.pitfall(3)
@pytest.mark.parametrize(("guarded", "bare"), [("part", "bare"), ("whole", "whole, bare")])
def test_weights_random_state_and_graphs_are_those_of_a_run_without_guard(shown: Shown, guarded: str, bare: str) -> None:
    assert shown[bare]["findings"] == []
    assert shown[bare]["graphs"] == 2  # in train mode and in eval mode
    for part in ("state", "random", "graphs"):
        assert shown[guarded][part] == shown[bare][part], part


def test_evaluation_runs_without_the_compiler_at_first_and_when_steps_have_doubled(shown: Shown) -> None:
    assert shown["part"]["steps"] == [0, 109]
    assert any("runs without the compiler" in note for note in shown["part"]["notes"])
    assert not any("not audited" in note for note in shown["part"]["notes"])


def test_evaluation_that_draws_random_numbers_is_only_audited_in_the_sanity_check(shown: Shown) -> None:
    assert shown["noisy"]["steps"] == [0]
    assert [code for code, *_ in shown["noisy"]["findings"]] == ["NNG208", "NNG605"]
    assert any("not audited" in note for note in shown["noisy"]["notes"])


def test_without_a_sanity_check_nobody_knows(shown: Shown) -> None:
    assert shown["not rehearsed"]["steps"] == []
    assert shown["not rehearsed"]["findings"] == []
    assert any("not audited" in note for note in shown["not rehearsed"]["notes"])


def test_without_an_audit_nothing_runs_without_the_compiler_and_a_note_says_what_is_not_seen(shown: Shown) -> None:
    (note,) = shown["modes alone"]["notes"]
    assert note.startswith("code is compiled in this process: modules in compiled regions, functional calls")
    assert shown["modes alone"]["steps"] == []
    assert "in training, modules in compiled regions" in "".join(shown["part"]["notes"])


@pytest.mark.parametrize(("guarded", "bare"), [("eager", "in place"), ("eager, whole", "whole, bare")])
def test_sampled_steps_run_without_the_compiler_where_that_is_asked_for(shown: Shown, guarded: str, bare: str) -> None:
    assert {step // 2 for step in shown[guarded]["eager"]} == set(range(10))  # one step of two is sampled
    assert len(shown[guarded]["eager"]) < 15
    assert shown[guarded]["graphs"] == shown[bare]["graphs"] == 2  # nothing is compiled again
    assert shown[guarded]["state"] == shown[bare]["state"]  # this backend computes as eager code does
    assert shown[guarded]["random"] == shown[bare]["random"]
    assert any("compiled='eager'" in note and "last digits" in note for note in shown[guarded]["notes"])
    assert not any("are not seen" in note for note in shown[guarded]["notes"])


def test_dead_units_within_compiled_code_are_seen_only_without_the_compiler(shown: Shown) -> None:
    assert [code for code, *_ in shown["dead"]["findings"]] == ["NNG301"]
    assert shown["dead, left"]["findings"] == []
    assert any("are not seen" in note for note in shown["dead, left"]["notes"])


def test_the_compiler_is_back_after_an_exception(shown: Shown) -> None:
    assert shown["broken"]["error"] == "theirs"
    assert shown["broken"]["steps"] == [0]


def test_the_compiler_is_back_after_each_run(shown: Shown) -> None:
    for program, after in shown.items():
        stance = "eager_on_recompile" if program == "own stance" else "default"
        assert (after["stance"], after["num_modes"]) == (stance, 0), program
