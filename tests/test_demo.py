"""The demo: the healthy run is clean, each planted fault is named by its rule, and the demo fails when that is not so."""

from pathlib import Path

import pytest
import typer

from examples.demo import RUNS, Run, main
from lightning_nnguard import Finding, Severity
from lightning_nnguard.rules import all_rules
from tests.running import run_module


def finding(code: str, severity: Severity = Severity.WARNING) -> Finding:
    return Finding(code=code, name="x", severity=severity, where="x", step=1, epoch=0, message="x", why="x", fix="x")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("demo")
    ended = run_module("examples.demo", folder=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout, folder


def test_healthy_run_is_clean(output: tuple[str, Path]) -> None:
    assert "healthy: clean, no warning and no error" in output[0].splitlines()


@pytest.mark.parametrize("run", [run for run in RUNS if run.wanted], ids=lambda run: run.name)
def test_planted_fault_is_named(output: tuple[str, Path], run: Run) -> None:
    name = next(rule.name for rule in all_rules() if rule.code == run.wanted)
    assert f"{run.name}: {run.story}: named {run.wanted} {name} at step " in output[0]


def test_logs_are_where_the_command_says(output: tuple[str, Path]) -> None:
    text, folder = output
    command = next(line for line in text.splitlines() if line.startswith("panels: "))
    assert command.endswith("tensorboard --logdir nnguard_runs/demo")
    logs = {path.parent.name for path in (folder / "nnguard_runs/demo").glob("*/events.out.tfevents.*")}
    assert logs == {run.name for run in RUNS}


def test_too_short_a_run_fails_and_says_what_is_missing(tmp_path: Path) -> None:
    ended = run_module("examples.demo", "--only", "overfitting", "--epochs", "2", folder=tmp_path)
    assert ended.returncode == 1
    assert "overfitting: NNG707 is missing among no findings" in ended.stdout


def test_unknown_run_is_told() -> None:
    with pytest.raises(typer.BadParameter, match="heathy; valid names are healthy, learning-rate"):
        main(only=["heathy"])


def test_infos_are_no_alarm_and_name_no_fault() -> None:
    healthy = next(run for run in RUNS if run.wanted is None)
    faulty = next(run for run in RUNS if run.wanted == "NNG101")
    assert healthy.complaint([finding("NNG705", Severity.INFO)]) is None
    assert healthy.complaint([finding("NNG301")]) == "healthy: the healthy run raised NNG301"
    assert faulty.complaint([finding("NNG101", Severity.INFO)]) == "nan-pixels: NNG101 is missing among no findings"
    assert faulty.complaint([finding("NNG101"), finding("NNG702")]) is None
