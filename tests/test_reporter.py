from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_nnguard.causes import silenced
from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ModeSeen, NonFiniteSeen, Seen
from lightning_nnguard.reporter import Reporter, Verdict
from lightning_nnguard.rules import Rule
from tests.builders import dropout, non_finite

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


@dataclass(frozen=True, kw_only=True)
class Fake(Rule[Seen]):
    code: ClassVar[str] = "NNG001"
    name: ClassVar[str] = "fake"
    severity: ClassVar[Severity] = WARNING
    why: ClassVar[str] = "why"
    fix: ClassVar[str] = "fix"

    def check(self, seen: Seen) -> Finding | None:
        raise NotImplementedError


def rule(code: str = "NNG001", **attributes: Any) -> Rule[Seen]:
    return type("Fake", (Fake,), {"code": code, "name": f"fake-{code[-1]}", **attributes})()


def verdicts(judge: Rule[Seen], step: int, **places: Severity | None) -> list[Verdict]:
    """Build what a rule says of places: a severity where it fires, None where all is well."""
    return [verdict(judge, Seen(where=where, step=step, epoch=step // 100), severity) for where, severity in places.items()]


def verdict(judge: Rule[Seen], seen: Seen, severity: Severity | None) -> Verdict:
    finding = judge.finding(seen, f"at {seen.where}", evidence={"step": seen.step}, severity=severity)
    return Verdict(rule=judge, seen=seen, finding=None if severity is None else finding)


class Run:
    """A reporter that is given one round after the other, at steps 10, 20, ..."""

    def __init__(self, judge: Rule[Seen] | None = None) -> None:
        self.reporter, self.judge, self.step = Reporter(), judge or rule(), 0

    def round(self, *others: tuple[Rule[Seen], Mapping[str, Severity | None]], **places: Severity | None) -> list[Finding]:
        self.step += 10
        judged = verdicts(self.judge, self.step, **places)
        for judge, elsewhere in others:
            judged += verdicts(judge, self.step, **elsewhere)
        return self.reporter.report(judged, self.step)

    @property
    def only(self) -> Finding:
        (finding,) = self.reporter.findings
        return finding


def test_patience_must_be_met_in_a_row() -> None:
    run = Run(rule(patience=3))
    assert [run.round(a=each) for each in (WARNING, WARNING, None, WARNING, WARNING)] == [[]] * 5
    assert run.reporter.findings == []
    (finding,) = run.round(a=WARNING)
    assert (finding.where, finding.step, finding.last_seen) == ("a", 40, 60)
    assert run.reporter.findings == [finding]


def test_patience_is_met_at_one_place_not_by_many() -> None:
    run = Run(rule(patience=2))
    assert [run.round(a=WARNING, b=None), run.round(a=None, b=WARNING), run.round(a=WARNING, b=None)] == [[], [], []]


def test_a_round_that_does_not_judge_a_place_leaves_its_streak() -> None:
    run = Run(rule(patience=2))
    assert run.round(a=WARNING) == run.round(b=None) == []
    assert len(run.round(a=WARNING)) == 1


def test_step_and_epoch_are_those_of_the_onset() -> None:
    run = Run(rule(patience=2))
    run.step = 90
    run.round(a=WARNING)
    (finding,) = run.round(a=WARNING)
    assert (finding.step, finding.epoch, finding.evidence) == (100, 1, {"step": 110})


def test_places_are_one_finding_worst_first() -> None:
    run = Run(rule(patience=2))
    run.round(late=None, early=WARNING, bad=None)
    (finding,) = run.round(late=WARNING, early=WARNING, bad=ERROR)
    assert finding.places == ("bad", "early", "late")
    assert (finding.where, finding.severity, finding.message, finding.step) == ("bad", ERROR, "at bad", 20)


def test_equally_bad_places_keep_the_given_order() -> None:
    (finding,) = Run().round(z=WARNING, a=WARNING, m=WARNING)
    assert finding.places == ("z", "a", "m")


def test_one_place_needs_no_list() -> None:
    (finding,) = Run().round(a=WARNING, b=None)
    assert finding.places == ()


def test_later_places_join_without_a_word() -> None:
    run = Run(rule(patience=2))
    run.round(a=WARNING)
    run.round(a=WARNING)
    assert run.round(a=WARNING, b=WARNING) == []
    assert run.only.places == ()
    assert run.round(a=WARNING, b=WARNING) == []
    assert (run.only.where, run.only.places, run.only.message) == ("a", ("a", "b"), "at a")


def test_an_equally_bad_place_does_not_take_over() -> None:
    run = Run()
    run.round(a=WARNING, b=None)
    assert run.round(a=None, b=WARNING) == []
    assert (run.only.where, run.only.places, run.only.evidence) == ("a", ("a", "b"), {"step": 10})


def test_last_seen_follows() -> None:
    run = Run()
    run.round(a=WARNING)
    run.round(a=WARNING)
    assert (run.only.step, run.only.last_seen) == (10, 20)
    run.round(a=None)
    assert run.only.last_seen == 20


def test_worse_is_said_again_and_better_is_not() -> None:
    run = Run()
    run.round(a=WARNING, b=WARNING)
    (worse,) = run.round(a=WARNING, b=ERROR)
    assert (worse.where, worse.severity, worse.places, worse.message) == ("b", ERROR, ("b", "a"), "at b")
    assert run.round(a=WARNING, b=WARNING) == run.round(a=INFO, b=ERROR) == []
    assert run.only.severity is ERROR


def test_recovery_takes_more_rounds_than_patience_at_every_place() -> None:
    run = Run(rule(patience=2))
    run.round(a=WARNING, b=WARNING)
    run.round(a=WARNING, b=WARNING)
    assert run.round(a=None, b=WARNING) == run.round(a=None, b=None) == run.round(a=None, b=None) == []
    assert run.only.recovered is None
    (gone,) = run.round(a=None, b=None)
    assert (gone.recovered, gone.last_seen) == (60, 30)
    assert run.round(a=None, b=None) == []
    assert run.only == gone


def test_a_fault_that_shows_elsewhere_has_not_recovered() -> None:
    run = Run(rule(patience=2))
    for severity in (WARNING, WARNING, None, None):
        run.round(a=severity, b=None)
    assert run.round(a=None, b=WARNING) == []
    assert [each.recovered for each in run.round(a=None, b=None)] == [60]


def test_a_place_that_is_not_judged_does_not_recover() -> None:
    run = Run()
    run.round(a=WARNING, b=WARNING)
    assert [run.round(a=None) for _ in range(9)] == [[]] * 9
    assert run.only.recovered is None


def test_a_fault_that_comes_and_goes_is_said_twice() -> None:
    run = Run()
    said = [len(run.round(a=each)) for each in (WARNING, None, None) * 4]
    assert said == [1, 0, 1, 1, 0, 1] + [0] * 6  # onset, recovery, return, recovery
    assert run.only.recovered == 120
    assert run.round(a=WARNING) == []
    assert run.only.recovered is None
    assert run.only.last_seen == 130


def test_a_return_is_told_with_its_own_onset_and_places() -> None:
    run = Run(rule(patience=2))
    for severity in (WARNING, WARNING, None, None, None):
        run.round(a=severity, b=None)
    assert run.round(a=None, b=WARNING) == []
    (again,) = run.round(a=None, b=WARNING)
    assert (again.where, again.step, again.recovered, again.places) == ("b", 60, None, ())


def test_worse_than_ever_is_said_however_often_it_came_and_went() -> None:
    run = Run()
    for severity in (WARNING, None, None) * 3:
        run.round(a=severity)
    assert run.round(a=WARNING) == []
    assert [each.severity for each in run.round(a=ERROR)] == [ERROR]
    assert run.round(a=ERROR) == []


def test_returning_worse_than_ever_is_said() -> None:
    run = Run()
    for severity in (WARNING, None, None) * 3:
        run.round(a=severity)
    assert [each.severity for each in run.round(a=ERROR)] == [ERROR]


def test_what_held_nan_never_recovers_because_health_leaves_no_trace() -> None:
    judge, reporter = rule(), Reporter()
    (finding,) = reporter.report([verdict(judge, non_finite("gradient", where="a"), ERROR)], 1200)
    other = non_finite("activation", where="a")
    assert [reporter.report([verdict(judge, other, None)], step) for step in range(1201, 1210)] == [[]] * 9
    assert reporter.findings == [finding]


def test_training_does_not_heal_what_validation_shows() -> None:
    judge, reporter = rule(patience=2), Reporter()

    def evaluate(severity: Severity | None) -> list[Finding]:
        return reporter.report([verdict(judge, dropout(stage="validate"), severity)], 1)

    def train() -> None:
        for _ in range(5):
            assert reporter.report([verdict(judge, dropout(stage="train"), None)], 2) == []

    assert evaluate(WARNING) == []
    train()
    (finding,) = evaluate(WARNING)
    train()
    assert reporter.findings == [finding]
    assert [len(evaluate(None)) for _ in range(3)] == [0, 0, 1]


def test_the_worst_of_many_calls_at_one_place_counts() -> None:
    judge = rule(patience=2)
    for order in (1, -1):
        reporter = Reporter()
        calls = [
            verdict(judge, ModeSeen(where="a", step=1, epoch=0, stage="test", kind="dropout", training=True), severity)
            for severity in (None, WARNING, ERROR, WARNING, None)
        ][::order]
        assert reporter.report(calls, 1) == []
        (finding,) = reporter.report(calls, 2)
        assert (finding.severity, finding.places) == (ERROR, ())


CAUSE = rule("NNG002", patience=3)
SYMPTOM = rule("NNG001", explained_by=frozenset({"NNG002"}))
SYMPTOM_OF_SYMPTOM = rule("NNG000", explained_by=frozenset({"NNG001"}))


def test_a_cause_in_the_same_round_silences_even_before_it_is_said() -> None:
    run = Run(SYMPTOM)
    assert [run.round((CAUSE, {"x": WARNING}), a=WARNING) for _ in range(2)] == [[], []]
    assert [each.code for each in run.round((CAUSE, {"x": WARNING}), a=WARNING)] == ["NNG002"]


def test_a_symptom_is_said_with_its_onset_when_the_cause_goes_away() -> None:
    run = Run(SYMPTOM)
    run.round((CAUSE, {"x": WARNING}), a=WARNING)
    (finding,) = run.round((CAUSE, {"x": None}), a=WARNING)
    assert (finding.code, finding.step) == ("NNG001", 10)


def test_a_cause_said_before_silences_until_it_recovers() -> None:
    run = Run(SYMPTOM)
    for _ in range(3):
        run.round((CAUSE, {"x": WARNING}))
    for _ in range(3):
        assert run.round((CAUSE, {"x": None}), a=WARNING) == []
    assert [each.code for each in run.round((CAUSE, {"x": None}), a=WARNING)] == ["NNG002"]
    assert [each.code for each in run.round(a=WARNING)] == ["NNG001"]


def test_a_symptom_that_was_said_first_does_not_worsen_aloud_under_its_cause() -> None:
    run = Run(SYMPTOM)
    run.round(a=WARNING)
    assert run.round((CAUSE, {"x": WARNING}), a=ERROR) == []
    assert run.reporter.findings[0].last_seen == 20
    (worse,) = run.round((CAUSE, {"x": None}), a=WARNING)
    assert worse.severity is ERROR


def test_information_explains_no_warning() -> None:
    run = Run(SYMPTOM)
    assert [each.code for each in run.round((CAUSE, {"x": INFO}), a=WARNING)] == ["NNG001"]
    run = Run(SYMPTOM)
    assert run.round((CAUSE, {"x": INFO}), a=INFO) == []


def test_chains() -> None:
    run = Run(SYMPTOM_OF_SYMPTOM)
    assert run.round((SYMPTOM, {"b": WARNING}), (CAUSE, {"x": WARNING}), a=WARNING) == []
    run = Run(SYMPTOM_OF_SYMPTOM)
    assert [each.code for each in run.round((CAUSE, {"x": WARNING}), a=WARNING)] == ["NNG000"]


@pytest.mark.parametrize("said", ["", "A", "B"])
def test_of_codes_that_explain_each_other_one_is_said(said: str) -> None:
    circle = {"A": frozenset("AB"), "B": frozenset("AB"), "C": frozenset("B")}
    firing = dict.fromkeys("ABC", WARNING)
    assert silenced(firing, dict.fromkeys(said, WARNING), circle) == set("ABC") - {said or "A"}


CODES = ["NNG001", "NNG002", "NNG003", "NNG004"]
severities = st.sampled_from([None, None, INFO, WARNING, ERROR])
rounds = st.lists(st.fixed_dictionaries({code: st.lists(severities, min_size=3, max_size=3) for code in CODES}), max_size=12)
rulesets = st.fixed_dictionaries({code: st.tuples(st.integers(1, 3), st.frozensets(st.sampled_from(CODES))) for code in CODES}).map(
    lambda drawn: {code: rule(code, patience=n, explained_by=causes) for code, (n, causes) in drawn.items()}
)


def judged(rules: Mapping[str, Rule[Seen]], one: Mapping[str, Sequence[Severity | None]], step: int) -> list[list[Verdict]]:
    return [verdicts(rules[code], step, **dict(zip("abc", found, strict=True))) for code, found in one.items()]


def flat(by_rule: list[list[Verdict]]) -> list[Verdict]:
    return list(chain.from_iterable(by_rule))


@settings(deadline=None)
@given(rulesets, rounds, st.randoms(use_true_random=False))
def test_order_of_rules_in_a_round_does_not_matter(rules: Any, history: Any, chance: random.Random) -> None:
    straight, shuffled = Reporter(), Reporter()
    for step, one in enumerate(history):
        by_rule = judged(rules, one, step)
        mixed = list(by_rule)
        chance.shuffle(mixed)
        assert straight.report(flat(by_rule), step) == shuffled.report(flat(mixed), step)
        assert straight.findings == shuffled.findings


@settings(deadline=None)
@given(rulesets, rounds, st.randoms(use_true_random=False))
def test_order_of_places_decides_ties_only(rules: Any, history: Any, chance: random.Random) -> None:
    def essence(findings: list[Finding]) -> list[object]:
        return [(each.code, each.severity, each.step, each.last_seen, each.recovered, {*each.places}) for each in findings]

    straight, shuffled = Reporter(), Reporter()
    for step, one in enumerate(history):
        given_order = flat(judged(rules, one, step))
        mixed = list(given_order)
        chance.shuffle(mixed)
        assert essence(straight.report(given_order, step)) == essence(shuffled.report(mixed, step))
        assert essence(straight.findings) == essence(shuffled.findings)


@settings(deadline=None)
@given(rulesets, rounds)
def test_laws(rules: Any, history: Any) -> None:
    reporter, num_said = Reporter(), dict.fromkeys(CODES, 0)
    for step, one in enumerate(history):
        for finding in reporter.report(flat(judged(rules, one, step)), step):
            num_said[finding.code] += 1
            assert finding in reporter.findings
        findings = reporter.findings
        assert len({each.code for each in findings}) == len(findings)
        assert [each.severity for each in findings] == sorted((each.severity for each in findings), reverse=True)
        assert all(each.step <= each.last_seen <= step for each in findings)
        assert all(each.recovered is None or each.recovered > each.last_seen for each in findings)
        assert all(not each.places or each.where in each.places for each in findings)
    assert max(num_said.values()) <= 8  # two onsets, two recoveries, two severities to rise by in each


def test_non_finite_seen_is_the_only_kind_without_health() -> None:
    assert not Verdict(rule=rule(), seen=NonFiniteSeen(step=1, epoch=0, quantity="loss")).proves_health
    assert Verdict(rule=rule(), seen=Seen(step=1, epoch=0)).proves_health
