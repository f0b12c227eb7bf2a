"""What the `nnguard` command prints, and how it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lightning_nnguard import __version__
from lightning_nnguard.cli import app
from lightning_nnguard.rules import all_rules


def nnguard(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def refusal(*arguments: str) -> str:
    result = nnguard(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    return result.stderr


def test_version() -> None:
    assert nnguard("--version").stdout == f"nnguard {__version__}\n"


def test_rules_lists_every_rule() -> None:
    result = nnguard("rules")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    for rule in all_rules():
        assert any(rule.code in line and rule.name in line and str(rule.severity) in line for line in lines)


def test_rules_of_one_family_as_json() -> None:
    listed = json.loads(nnguard("rules", "--family", "updates", "--format", "json").stdout)
    assert {each["family"] for each in listed} == {"updates"}
    (rule,) = (each for each in listed if each["code"] == "NNG501")
    assert rule["name"] == "update-too-large"
    assert rule["gated"] is True
    assert rule["summary"] == "Weight update that is large relative to the weights."
    assert rule["thresholds"]["max_ratio"] == 0.1


def test_rules_of_an_unknown_family() -> None:
    message = refusal("rules", "--family", "update")
    assert "unknown family 'update'" in message
    assert "updates" in message


@pytest.mark.parametrize("query", ["NNG501", "nng501", "update-too-large", "update_too_large"])
def test_explain_prints_the_page(query: str) -> None:
    text = nnguard("explain", query).stdout
    for part in (
        "NNG501 update-too-large",
        "Weight update that is large relative to the weights.",
        "Severity: warning",
        "speaks after 2 observations in a row",
        "Explained by:",
        "What it checks",
        "Why it matters",
        "How to fix",
        "When it is harmless",
        "References",
        "max_ratio",
        "largest healthy median of norm(update) / norm(weight)",
        'NNGuard(ignore={"NNG501"',
    ):
        assert part in text


def test_explain_every_rule() -> None:
    for rule in all_rules():
        assert nnguard("explain", rule.code).exit_code == 0


@pytest.mark.parametrize("query", ["NNG5o1", "update-to-large", "too-large"])
def test_explain_names_near_matches(query: str) -> None:
    message = refusal("explain", query)
    assert f"unknown rule {query!r}" in message
    assert "did you mean" in message
    assert "NNG501 update-too-large" in message


def test_explain_without_near_match() -> None:
    assert "see `nnguard rules`" in refusal("explain", "zzzzzz")


def test_replay_prints_the_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lightning_nnguard.probe import replay

    monkeypatch.setattr(replay, "replay", lambda path, script: f"{path.name} {script}")
    (tmp_path / "batch.pt").touch()
    (tmp_path / "train.py").touch()
    assert nnguard("replay", str(tmp_path / "batch.pt")).stdout == "batch.pt None\n"
    script = str(tmp_path / "train.py")
    assert nnguard("replay", str(tmp_path / "batch.pt"), "--script", script).stdout == f"batch.pt {script}\n"


def test_replay_of_a_missing_file(tmp_path: Path) -> None:
    assert "does not exist" in refusal("replay", str(tmp_path / "none.pt"))


@pytest.mark.parametrize("command", ["rules", "explain NNG501"])
def test_reading_loads_no_torch(command: str) -> None:
    code = f"""
import sys
from lightning_nnguard.cli import app
app({command.split()!r}, standalone_mode=False)
print("loaded:", *{{"torch", "lightning"}} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1].strip() == "loaded:"
