"""The programs that are scored, and the file of their results. No program is run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.faults.case import cases, selected
from benchmarks.faults.fault import Fault
from benchmarks.faults.program import Program
from benchmarks.faults.result import Job, Result, Said, Store
from benchmarks.faults.sources import digests
from benchmarks.faults.stratum import STRATA, stratum_of
from lightning_nnguard.rules import all_rules


def _bad() -> Program:
    raise NotImplementedError


def _worse() -> Program:
    raise NotImplementedError


def _good() -> Program:
    raise NotImplementedError


def test_cases_share_twins_and_are_selected() -> None:
    faults = [
        Fault(make=_bad, fixed=_good, code="NNG208", before=1),
        Fault(make=_worse, fixed=_good, code="NNG301", before=1, stratum="data-dimension"),
    ]
    every = cases(faults, [_good])
    assert [case.kind for case in every] == ["planted", "planted", "fixed", "healthy"]
    assert {case.twin for case in every[:2]} == {every[2].key}
    assert [case.stratum for case in every[:2]] == ["contract", "data-dimension"]
    assert [case.kind for case in selected(every, ["NNG2"])] == ["planted", "fixed"]
    assert [case.kind for case in selected(every, (), ["_worse"])] == ["planted"]


def test_cases_with_the_same_key_are_refused() -> None:
    with pytest.raises(ValueError, match="two programs have the key"):
        cases([], [_good, _good])


def test_every_program_of_the_zoo_has_a_key() -> None:
    assert len({case.key for case in cases()}) == len(cases())


def test_every_rule_has_a_stratum() -> None:
    assert {stratum_of(rule.code) for rule in all_rules()} <= set(STRATA)


def test_results_are_resumed_from_the_last_line_of_each_job(tmp_path: Path) -> None:
    store = Store(tmp_path / "folder" / "results.jsonl")
    assert store.read() == {}
    words = {"NNGuard": (Said(code="NNG405", severity="warning", step=3),)}
    first = Result(
        suite="guard", case="healthy:a", kind="healthy", name="a", code="", stratum="", seed=0, status="timeout", notes=("a note",)
    )
    second = replace(first, status="ok", said=words)
    store.append(first)
    store.append(second, sources="abc")
    with store.path.open("a") as file:
        file.write('{"suite": "gua')
    (found,) = store.read().values()
    assert found == replace(second, sources="abc")


def test_a_result_depends_on_its_tool_and_on_the_file_of_its_program() -> None:
    by_key = {case.key: case for case in cases()}
    one, other = "planted:contract.softmax_before_cross_entropy:NNG208", "healthy:vision.squeeze_and_excite"
    same = next(key for key, case in by_key.items() if case.path == by_key[one].path and key != one)
    jobs: list[Job] = [("guard", one, 0), ("guard", same, 1), ("guard", other, 0), ("baselines", one, 0)]
    found = list(digests(jobs, by_key).values())
    assert found[0] == found[1]
    assert len(set(found)) == 3
