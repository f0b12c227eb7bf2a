"""The score of the zoo: its statistics and its report, from results made by hand. No program is run here."""

from __future__ import annotations

import json

import pytest

from benchmarks.faults.bounds import quantile, upper_bound
from benchmarks.faults.evidence import BEGIN, END, between_markers, rule_evidence
from benchmarks.faults.report import report
from benchmarks.faults.result import GUARD, Result, Said
from benchmarks.faults.score import Alarms, Recall, cross_talk, recall, told_apart
from benchmarks.faults.stratum import SHARE, STRATA
from benchmarks.faults.tables import RuleFacts, own_names, weighted

RULES = {
    "NNG301": RuleFacts(name="dead-units", family="activations", is_info=False),
    "NNG405": RuleFacts(name="zero-gradient", family="gradients", is_info=False),
    "NNG708": RuleFacts(name="underfitting", family="learning", is_info=True),
}
NAMES = own_names(RULES)
INFOS = frozenset({"NNG708"})


def said(code: str, severity: str = "warning", step: int = 10) -> Said:
    return Said(code=code, severity=severity, step=step)


def result(kind: str, name: str, *words: Said, code: str = "", seed: int = 0, status: str = "ok", tool: str = GUARD) -> Result:
    case = f"{kind}:{name}"
    twin = f"fixed:{name}" if kind == "planted" else ""
    suite = "guard" if tool == GUARD else "baselines"
    return Result(
        suite=suite, case=case, kind=kind, name=name, code=code, stratum="graph", twin=twin, seed=seed, status=status,
        said={tool: words},
    )  # type: ignore[arg-type]  # fmt: skip


# -- bounds


@pytest.mark.parametrize(
    ("hits", "trials", "bound"),
    [(0, 40, 0.0722), (0, 100, 0.0295), (0, 210, 0.01416), (1, 20, 0.2161), (10, 10, 1.0), (0, 0, 1.0)],
)
def test_upper_bound_against_known_values(hits: int, trials: int, bound: float) -> None:
    assert upper_bound(hits, trials) == pytest.approx(bound, abs=1e-4)


def test_nothing_in_n_runs_is_bounded_by_the_root() -> None:
    assert upper_bound(0, 57) == pytest.approx(1 - 0.05 ** (1 / 57))


def test_more_hits_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="num_hits is 3"):
        upper_bound(3, 2)


def test_quantiles_are_observed_values() -> None:
    assert quantile([], 0.5) is None
    assert quantile([7], 0.9) == 7
    assert quantile([4, 1, 3, 2], 0.5) == 2
    assert quantile(list(range(1, 11)), 0.9) == 9
    assert quantile(list(range(1, 12)), 0.9) == 10


# -- recall


def test_recall_counts_runs_not_words() -> None:
    runs = [
        result("planted", "a", said("NNG301", step=30), said("NNG301", step=20), code="NNG301", seed=0),
        result("planted", "a", said("NNG405"), said("NNG301"), code="NNG301", seed=1),
        result("planted", "a", said("NNG405"), code="NNG301", seed=2),
        result("planted", "b", code="NNG301", status="timeout"),
    ]
    score = recall(runs, GUARD, NAMES, INFOS)
    assert (score.num_faults, score.num_runs) == (2, 4)
    assert (score.detected, score.named, score.first, score.alone) == (3, 2, 1, 1)
    assert score.steps == (20, 10)
    assert (score.median, score.late) == (10, 20)


def test_an_info_is_no_detection_but_names_the_fault() -> None:
    score = recall([result("planted", "a", said("NNG301", "info"), code="NNG301")], GUARD, NAMES, INFOS)
    assert (score.detected, score.named, score.alone) == (0, 1, 1)


def test_the_info_of_a_rule_that_says_no_more_is_a_detection() -> None:
    score = recall([result("planted", "a", said("NNG708", "info"), code="NNG708")], GUARD, NAMES, INFOS)
    assert (score.detected, score.named) == (1, 1)


def test_a_tool_is_right_where_its_symptom_covers_the_fault() -> None:
    words = {"dead": frozenset({"NNG301", "NNG405"})}
    runs = [
        result("planted", "a", said("dead"), code="NNG405", tool="Other"),
        result("planted", "b", said("dead"), code="NNG708", tool="Other"),
    ]
    score = recall(runs, "Other", words, INFOS)
    assert (score.detected, score.named, score.nameable) == (2, 1, 1)


def test_pairs_are_told_apart_when_the_twin_is_silent() -> None:
    runs = [
        result("planted", "a", said("NNG301"), code="NNG301"),
        result("fixed", "a", said("NNG708", "info"), code="NNG301"),
        result("planted", "b", said("NNG301"), code="NNG301"),
        result("fixed", "b", said("NNG405"), code="NNG301"),
        result("planted", "c", said("NNG301"), code="NNG301"),
    ]
    assert told_apart(runs, GUARD, NAMES, INFOS) == (1, 2)


def test_alarms_leave_broken_runs_and_infos_out() -> None:
    runs = [
        result("healthy", "a", said("NNG405"), seed=0),
        result("healthy", "a", said("NNG405"), seed=1),
        result("healthy", "b", said("NNG708", "info")),
        result("healthy", "c"),
        result("healthy", "d", status="error"),
    ]
    alarms = Alarms.of(runs, GUARD)
    assert (alarms.num_runs, alarms.alarmed_runs, alarms.spoken_runs) == (4, 2, 3)
    assert (alarms.num_programs, alarms.alarmed_programs) == (3, 1)
    assert alarms.bound == upper_bound(2, 4)
    assert Alarms.of(runs, GUARD, lambda word: word.code == "NNG301").alarmed_runs == 0


def test_cross_talk_counts_the_loudest_word_of_each_run() -> None:
    runs = [
        result("planted", "a", said("NNG301"), said("NNG405", "info"), code="NNG301", seed=0),
        result("planted", "a", said("NNG301"), said("NNG405"), code="NNG301", seed=1),
    ]
    (talk,) = cross_talk(runs, GUARD)
    assert (talk.loud, talk.infos) == ({"NNG301": 2, "NNG405": 1}, {"NNG405": 1})


# -- report

RESULTS = [
    result("planted", "numbers.dead", said("NNG301", step=40), said("NNG405"), code="NNG301"),
    result("planted", "numbers.line", said("NNG708", "info", step=90), code="NNG708"),
    result("fixed", "numbers.dead", code="NNG301"),
    result("healthy", "tables.rare", said("NNG708", "info")),
    result("healthy", "tables.bits", said("NNG405")),
    result("planted", "numbers.dead", said("vanishing"), code="NNG301", tool="Other"),
    result("healthy", "tables.rare", said("vanishing"), tool="Other"),
]


def test_report_of_a_small_set() -> None:
    found = dict(report(RESULTS, RULES, {"Other": {"vanishing": frozenset({"NNG405"})}}).tables)
    assert found["Planted faults, by family"][-1] == [
        "all", "2", "2", "2/2 (100 %)", "2/2 (100 %)", "2/2 (100 %)", "1/2 (50 %)", "40", "90",
    ]  # fmt: skip
    assert found["False alarms"][1][:4] == ["NNGuard: healthy programs", "2", "1/2 (50 %)", "97.5 %"]
    assert found["Planted faults, other tools"][2][:4] == ["Other", "1", "1/1 (100 %)", "0/0"]
    assert found["Rule by rule"][1][-2:] == ["0/2", "0/1"]
    assert found["Who spoke of which fault"][1:] == [
        ["numbers.dead", "NNG301", "NNG301, NNG405"],
        ["numbers.line", "NNG708", "(NNG708)"],
    ]
    assert found["Who warned without reason"][1:] == [["tables.bits", "healthy", "NNG405"]]
    graph = next(row for row in found["Planted faults, by kind of mistake"] if row[0] == "graph")
    assert graph[:4] == ["graph", "12.5 %", "2", "2"]


def test_kinds_of_mistakes_count_as_they_are_among_real_bugs() -> None:
    def found(named: int) -> Recall:
        return recall(
            [result("planted", f"{i}", *([said("NNG301")] * (i < named)), code="NNG301") for i in range(4)], GUARD, NAMES, INFOS
        )

    scores = dict(zip(STRATA, (found(4), found(2), found(4), found(4), found(4)), strict=True))
    assert weighted(scores, "named") == pytest.approx(1 - SHARE[STRATA[1]] / 2)
    assert weighted({**scores, "graph": recall([], GUARD, NAMES, INFOS)}, "named") is None
    assert sum(SHARE.values()) == pytest.approx(1)


def test_report_names_what_broke() -> None:
    broken = Result(
        suite="guard",
        case="healthy:a",
        kind="healthy",
        name="a",
        code="",
        stratum="",
        seed=1,
        status="error",
        error="x\nKeyError: 3",
    )
    assert dict(report([broken], RULES, {}).tables)["Runs that broke, and notes"][1:] == [
        ["guard healthy:a", "1", "error: KeyError: 3"]
    ]


def test_markdown_goes_between_the_markers() -> None:
    page = f"before {BEGIN} old {END} after"
    assert between_markers(page, "| new |") == f"before {BEGIN}\n\n| new |\n\n{END} after"
    with pytest.raises(ValueError, match="must hold"):
        between_markers("no markers", "new")


def test_evidence_of_each_rule() -> None:
    found = rule_evidence(RESULTS, RULES)
    assert list(found) == ["NNG301", "NNG708"]
    assert found["NNG301"]["named"] == found["NNG301"]["num_faulty_runs"] == 1
    assert (found["NNG301"]["false_alarms"], found["NNG301"]["num_healthy_runs"]) == (0, 2)
    assert found["NNG301"]["false_alarm_bound"] == pytest.approx(upper_bound(0, 2), abs=1e-5)
    assert found["NNG708"]["healthy_runs_with_a_word"] == 1
    assert json.loads(json.dumps(found)) == found
