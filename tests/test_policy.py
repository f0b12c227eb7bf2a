from __future__ import annotations

import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.policy import Policy
from lightning_nnguard.rules import all_rules
from lightning_nnguard.rules.updates.update_too_large import UpdateTooLarge
from tests.builders import update

CODES = [rule.code for rule in all_rules()]


def codes(policy: Policy) -> list[str]:
    return [rule.code for rule in policy.rules()]


def too_large() -> Finding:
    finding = UpdateTooLarge().check(update(ratio_median=0.5))
    assert finding is not None
    return finding


def test_all_rules_are_selected_by_default() -> None:
    assert codes(Policy()) == CODES
    assert codes(Policy.build()) == CODES


@pytest.mark.parametrize("called", ["NNG501", "update-too-large"])
def test_one_rule_by_code_or_name(called: str) -> None:
    assert codes(Policy.build(select=[called])) == ["NNG501"]
    assert codes(Policy.build(ignore=[called])) == [code for code in CODES if code != "NNG501"]


@pytest.mark.parametrize("called", ["NNG5", "updates"])
def test_many_rules_by_prefix_or_family(called: str) -> None:
    assert codes(Policy.build(select=[called])) == [code for code in CODES if code.startswith("NNG5")]
    assert codes(Policy.build(ignore=[called])) == [code for code in CODES if not code.startswith("NNG5")]


def test_rules_come_once_and_by_code_however_selected() -> None:
    assert codes(Policy.build(select=["updates", "NNG501", "dead-units", "NNG5"])) == [
        "NNG301",
        *(code for code in CODES if code.startswith("NNG5")),
    ]


def test_nothing_may_be_selected() -> None:
    assert Policy.build(select=[]).rules() == ()


def test_a_single_name_needs_no_list() -> None:
    assert Policy.build(select="updates", ignore="NNG501") == Policy.build(select=["updates"], ignore={"NNG501": ""})


def test_ignore_keeps_reasons() -> None:
    assert Policy.build(ignore={"dead-units": "sparse by design"}).ignore == {"dead-units": "sparse by design"}
    assert Policy.build(ignore=["dead-units"]).ignore == {"dead-units": ""}


@pytest.mark.parametrize("called", ["NNG501", "update-too-large", "NNG5", "updates"])
def test_thresholds(called: str) -> None:
    (rule,) = Policy.build(select=["NNG501"], thresholds={called: {"max_ratio": 0.3}}).rules()
    assert rule == UpdateTooLarge(max_ratio=0.3)


@pytest.mark.parametrize("order", [1, -1])
def test_the_narrower_name_wins_in_any_order(order: int) -> None:
    def table(narrow: Any, wide: Any) -> dict[str, Any]:
        return dict([("NNG501", narrow), ("NNG5", wide)][::order])

    policy = Policy.build(
        select=["NNG501"],
        thresholds=table({"max_ratio": 0.3}, {"max_ratio": 0.2, "min_span": 80}),
        severity=table("info", "error"),
    )
    (rule,) = policy.rules()
    assert rule == UpdateTooLarge(max_ratio=0.3, min_span=80)
    assert policy.severity_of(rule, too_large()) is Severity.INFO


@pytest.mark.parametrize("severity", ["error", "ERROR", 30, Severity.ERROR])
def test_severity_override_wins(severity: object) -> None:
    policy = Policy.build(severity={"updates": severity}, fail_on=severity)
    assert policy.severity_of(UpdateTooLarge(), too_large()) is Severity.ERROR
    assert policy.fail_on is Severity.ERROR


def test_severity_without_override_is_the_findings_own() -> None:
    policy = Policy.build(severity={"dead-units": "error"})
    assert policy.severity_of(UpdateTooLarge(), too_large().at(Severity.INFO)) is Severity.INFO


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"select": ["dead-unit"]},
            ["select contains 'dead-unit'; did you mean 'dead-units'?", "'NNG101'", "families activations"],
        ),
        ({"select": ["UpdateTooLarge"]}, ["did you mean 'update-too-large'?"]),
        ({"select": ["nng501"]}, ["did you mean 'NNG501'?"]),
        ({"select": ["NNG0"]}, ["select contains 'NNG0'; valid: codes such as"]),
        ({"select": ["NNG5011"]}, ["select contains 'NNG5011'"]),
        ({"select": [""]}, ["select contains ''"]),
        ({"select": 3}, ["select is 3; it should be"]),
        ({"select": [3]}, ["select[0] is 3; it should be"]),
        ({"ignore": ["activation"]}, ["ignore contains 'activation'; did you mean 'activations'?"]),
        ({"ignore": {"dead-units": None}}, ["ignore['dead-units'] is None; it should be"]),
        ({"severity": {"dead-unit": "info"}}, ["severity contains 'dead-unit'; did you mean 'dead-units'?"]),
        (
            {"severity": {"dead-units": "warn"}},
            ["severity['dead-units'] is 'warn'; valid values are 'info', 'warning' and 'error'"],
        ),
        ({"severity": "error"}, ["severity is 'error'; it should be"]),
        ({"fail_on": "fatal"}, ["fail_on is 'fatal'; valid values are 'info'"]),
        ({"thresholds": {"dead-unit": {}}}, ["thresholds contains 'dead-unit'; did you mean 'dead-units'?"]),
        (
            {"thresholds": {"NNG501": {"max_rato": 1}}},
            ["thresholds['NNG501'] contains 'max_rato'; did you mean 'max_ratio'?", "min_span (steps that the median must cover)"],
        ),
        ({"thresholds": {"NNG501": {"max_ratio": -1}}}, ["max_ratio", "-1", "from 0 to inf", "largest healthy median"]),
        ({"thresholds": {"NNG501": {"max_ratio": float("nan")}}}, ["max_ratio", "nan"]),
        ({"thresholds": {"NNG501": {"max_ratio": "0.3"}}}, ["thresholds['NNG501']['max_ratio'] is '0.3'; it should be"]),
        ({"thresholds": {"dropout-active-in-eval": {"max_rate": 1}}}, ["'max_rate'; it has no thresholds"]),
        ({"every_n_steps": 0}, ["every_n_steps is 0; it should be greater than or equal to 1"]),
        ({"every_n_steps": 2.5}, ["every_n_steps is 2.5; it should be"]),
        ({"every_n_steps": True}, ["every_n_steps is True; it should be"]),
        ({"budget": 0.0}, ["budget is 0.0; it should be greater than 0"]),
        ({"budget": 1.0}, ["budget is 1.0; it should be less than 1"]),
        ({"ignor": []}, ["'ignor' is no argument of a policy; did you mean 'ignore'? Valid: select, ignore, severity"]),
        ({"every_n_steps": 0, "budget": 2.0}, ["every_n_steps is 0", "budget is 2.0"]),
    ],
)
def test_mistakes_are_told(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as told:  # noqa: PT011 - the words are checked below
        Policy.build(**arguments)
    assert not isinstance(told.value, ValidationError)
    assert "validation error" not in str(told.value)
    for each in words:
        assert each in str(told.value)


def test_the_constructor_refuses_mistakes_too() -> None:
    with pytest.raises(ValueError, match="did you mean 'dead-units'"):
        Policy(select=("dead-unit",))


def test_a_policy_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Policy().budget = 0.5  # type: ignore[misc]


def test_a_policy_can_be_sent_to_other_processes() -> None:
    policy = Policy.build(ignore=["dead-units"], severity={"NNG5": "error"}, thresholds={"NNG501": {"max_ratio": 0.3}})
    assert pickle.loads(pickle.dumps(policy)) == policy
