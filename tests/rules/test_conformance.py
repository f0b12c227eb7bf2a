"""What every rule must keep to. A rule added tomorrow is judged here without a change."""

from __future__ import annotations

import dataclasses
import graphlib
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

import lightning_nnguard
from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import Seen
from lightning_nnguard.rules import Rule, all_rules, family, subscription, threshold
from tests.builders import healthy, silent

FAMILIES = {
    "data": "1",
    "wiring": "2",
    "activations": "3",
    "gradients": "4",
    "updates": "5",
    "modes": "6",
    "learning": "7",
    "ranks": "8",
    "preflight": "9",
}
SECTIONS = ["What it checks", "Why it matters", "How to fix", "When it is harmless", "References"]
CODE = re.compile(r"NNG[1-9]\d{2}")
ROOT = Path(lightning_nnguard.__file__).parents[1]
TESTS = Path(__file__).parent

each_rule = pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)


def test_rules_are_found():
    assert len(all_rules()) >= 25


def test_codes_and_names_are_unique():
    for spelling in ("code", "name", "__name__"):
        values = [getattr(rule, spelling) for rule in all_rules()]
        assert len(values) == len(set(values)), spelling


@each_rule
def test_class_file_and_name_agree(rule):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name)
    assert rule.__name__ == "".join(word.capitalize() for word in rule.name.split("-"))
    assert rule.__module__.rpartition(".")[2] == rule.name.replace("-", "_")


@each_rule
def test_code_matches_its_family(rule):
    assert CODE.fullmatch(rule.code)
    assert rule.code[3] == FAMILIES[family(rule)]


@each_rule
def test_docstring_has_all_sections(rule):
    assert rule.__doc__.splitlines()[0].endswith(".")
    parts = re.split(rf"^    ({'|'.join(SECTIONS)}):$", rule.__doc__, flags=re.MULTILINE)
    assert parts[1::2] == SECTIONS
    assert all(body.strip() for body in parts[2::2])


@each_rule
@pytest.mark.parametrize("field", ["why", "fix"])
def test_why_and_fix_are_one_plain_line(rule, field):
    text = getattr(rule, field)
    assert text
    assert text == text.strip()
    assert "\n" not in text
    assert "!" not in text
    assert not text.endswith(".")


@each_rule
def test_severity_patience_and_gate_are_valid(rule):
    assert isinstance(rule.severity, Severity)
    assert rule.patience >= 1
    assert not (rule.gated and rule.severity is Severity.ERROR), "a broken contract passes no gate"


@each_rule
def test_causes_are_other_rules(rule):
    assert rule.explained_by <= {each.code for each in all_rules()}
    assert rule.code not in rule.explained_by


def test_no_two_rules_explain_each_other():
    order = graphlib.TopologicalSorter({rule.code: rule.explained_by for rule in all_rules()})
    order.prepare()  # raises CycleError


def test_only_causes_at_least_as_grave_silence_an_error():
    severity = {rule.code: rule.severity for rule in all_rules()}
    for rule in all_rules():
        if rule.severity is Severity.ERROR:
            assert all(severity.get(code, Severity.ERROR) is Severity.ERROR for code in rule.explained_by), rule.code


@each_rule
def test_thresholds_say_what_they_bound(rule):
    for each in rule().thresholds():
        assert each.name.startswith(("max_", "min_"))
        assert each.meaning
        assert "\n" not in each.meaning
        assert each.low <= each.value <= each.high


@each_rule
def test_thresholds_out_of_range_are_refused(rule):
    for each in rule().thresholds():
        bad = [each.low - 1, float("nan"), True, "0.5", None]
        if each.high != float("inf"):
            bad.append(each.high + 1)
        for value in bad:
            with pytest.raises(ValueError, match=each.name):
                rule(**{each.name: value})


@each_rule
def test_subscribes_to_one_kind_of_observation(rule):
    assert issubclass(subscription(rule), Seen)
    assert subscription(rule) is not Seen


@each_rule
def test_silent_on_all_healthy_observations(rule):
    judged = [seen for seen in healthy() if isinstance(seen, subscription(rule))]
    assert judged, f"healthy() has no {subscription(rule).__name__}"
    for seen in judged:
        silent(rule(), seen)


@each_rule
def test_frozen_and_picklable(rule):
    one = rule()
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.anything = 1


@each_rule
def test_has_its_twin_test(rule):
    assert (TESTS / family(rule) / f"test_{rule.name.replace('-', '_')}.py").is_file()


LOAD_ALL = """
import importlib, pkgutil, sys
{first}
for name in ("lightning_nnguard.rules", "lightning_nnguard.panels"):
    package = importlib.import_module(name)
    for info in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(info.name)
heavy = ("torch", "lightning", "pytorch_lightning", "lightning_fabric")
print(*sorted(name for name in heavy if name in sys.modules))
"""


def heavy_imports(first: str = "", path: Path = ROOT) -> list[str]:
    """Import all rules and panels in a fresh interpreter and return which heavy packages came along."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)])}
    command = [sys.executable, "-c", LOAD_ALL.format(first=first)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()


def test_rules_and_panels_import_neither_torch_nor_lightning():
    assert heavy_imports() == []


@pytest.mark.parametrize("package", ["torch", "lightning"])
def test_the_import_test_can_fail(package, tmp_path):
    (tmp_path / f"{package}.py").touch()  # a stand-in, found before the real one
    (tmp_path / "impure_rule.py").write_text(f"import {package}\n")
    assert heavy_imports("import impure_rule", tmp_path) == [package]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Impostor(Rule[Seen]):
    """Rule outside the package, to watch the guarantees fail."""

    code: ClassVar[str] = "NNG999"
    name: ClassVar[str] = "not-an-impostor"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "Why."
    fix: ClassVar[str] = ""
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG999"})

    limit: float = threshold(2.0, "", high=1e9)

    def check(self, seen: Seen) -> Finding | None:
        return self.finding(seen, "always", evidence={})


@pytest.mark.parametrize(
    "guarantee",
    [
        test_class_file_and_name_agree,
        test_docstring_has_all_sections,
        test_severity_patience_and_gate_are_valid,
        test_causes_are_other_rules,
        test_thresholds_say_what_they_bound,
        test_has_its_twin_test,
        test_subscribes_to_one_kind_of_observation,
        test_silent_on_all_healthy_observations,
        lambda rule: test_why_and_fix_are_one_plain_line(rule, "why"),
        lambda rule: test_why_and_fix_are_one_plain_line(rule, "fix"),
    ],
)
def test_each_guarantee_can_fail(guarantee):
    with pytest.raises(AssertionError):
        guarantee(Impostor)
