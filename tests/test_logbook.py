from __future__ import annotations

import inspect
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger
from typer.testing import CliRunner, Result

from lightning_nnguard import NNGuard
from lightning_nnguard.callbacks.start import revision
from lightning_nnguard.cli import app
from lightning_nnguard.cli.compare import comparison, differences, metrics
from lightning_nnguard.logbook import flat, read
from tests.programs import Classifier, fit, loader, seed


class Odd:
    def __repr__(self) -> str:
        return "an odd [b]thing[/b]"


def train(folder: Path, **hyper_parameters: Any) -> Path:
    seed()
    module = Classifier(learning_rate=hyper_parameters.get("lr", 0.05))
    module.save_hyperparameters(hyper_parameters)
    fit(module, NNGuard(select=["NNG303"]), validation=loader(), logger=CSVLogger(folder), max_epochs=3)
    return folder


def nnguard(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200"})


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_a_run_leaves_what_it_is_and_how_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "17")
    book = read(train(tmp_path, lr=0.05, odd=Odd(), layers=[16, 16]))
    start = book.start
    assert start["model"] == "Classifier"
    assert start["num_parameters"] == sum(each.numel() for each in Classifier().parameters())
    assert start["hyper_parameters"] == {"lr": 0.05, "odd": "an odd [b]thing[/b]", "layers": [16, 16]}
    assert start["trainer"]["max_epochs"] == 3
    assert start["trainer"]["precision"] == "32-true"
    assert (start["optimizers"][0]["class"], start["optimizers"][0]["momentum"]) == ("SGD", 0.9)
    assert start["seed"] == 17
    assert {"python", "torch", "lightning", "lightning_nnguard"} <= start["versions"].keys()
    assert start["rules"] == ["NNG303"]
    assert [(each["epoch"], each["step"]) for each in book.epochs] == [(0, 8), (1, 16), (2, 24)]
    assert all({"train_loss_epoch", "val_loss", "val_acc"} <= each["metrics"].keys() for each in book.epochs)
    assert book.epochs[-1]["metrics"]["val_loss"] < book.epochs[0]["metrics"]["val_loss"]
    assert 0 < book.summary["share"] < 1
    assert book.findings == []


def test_a_start_that_cannot_be_read_costs_one_note(tmp_path: Path) -> None:
    class Broken(Classifier):
        def parameters(self, recurse: bool = True) -> Any:
            if any(frame.function == "run_start" for frame in inspect.stack()):
                raise ZeroDivisionError
            return super().parameters(recurse)

    fit(Broken(), NNGuard(), logger=CSVLogger(tmp_path), max_epochs=1)
    book = read(tmp_path)
    assert book.start == {}
    assert any("ZeroDivisionError" in note for note in book.summary["notes"])
    assert len(book.epochs) == 1


def test_the_latest_run_of_a_file_counts(tmp_path: Path) -> None:
    old, new = {"event": "start", "model": "Old"}, {"event": "start", "model": "New"}
    epoch = {"event": "epoch", "epoch": 0, "step": 8, "metrics": {"loss": 1.0}}
    book = read(write(tmp_path / "nnguard.jsonl", old, epoch, epoch, new, epoch))
    assert book.start["model"] == "New"
    assert len(book.epochs) == 1


def test_findings_of_a_run_that_still_goes_on(tmp_path: Path) -> None:
    said = {"event": "new", "code": "NNG301", "recovered": None}
    book = read(write(tmp_path / "nnguard.jsonl", {"event": "start"}, said, {**said, "event": "recovered", "recovered": 9}))
    assert [(each["code"], each["recovered"]) for each in book.findings] == [("NNG301", 9)]
    assert book.summary == {}


@pytest.mark.parametrize("text", ["nonsense", "[1]", "{}", "3"])
def test_what_is_no_logbook_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "nnguard.jsonl"
    path.write_text('{"event": "start"}\n' + text + "\n")
    with pytest.raises(ValueError, match=r"nnguard\.jsonl:2"):
        read(path)


def test_findings_of_a_guard_that_did_not_come_to_its_end(tmp_path: Path) -> None:
    lines = [
        {"event": "start"},
        {"event": "new", "code": "NNG101", "severity": "info"},
        {"event": "new", "code": "NNG301", "severity": "error"},
        {"event": "summary", "findings": [{"code": "NNG101", "severity": "warning"}]},
    ]
    (tmp_path / "nnguard.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [(each["code"], each["severity"]) for each in read(tmp_path).findings] == [("NNG301", "error"), ("NNG101", "warning")]


def test_no_logbook_at_all(tmp_path: Path) -> None:
    result = nnguard("compare", tmp_path, tmp_path)
    assert result.exit_code == 2
    assert "must be a file 'nnguard.jsonl'" in result.stderr


def test_flat() -> None:
    nested = {"a": 1, "b": {"c": [1, 2]}, "d": [{"e": 3}]}
    assert flat(nested) == {"a": 1, "b.c": [1, 2], "d.0.e": 3}


def test_only_what_differs_is_a_difference() -> None:
    first = {"event": "start", "started": "now", "same": 1, "trainer": {"max_epochs": 3}, "gone": 1}
    second = {"event": "start", "started": "later", "same": 1, "trainer": {"max_epochs": 4}}
    assert differences(first, second) == {"trainer.max_epochs": [3, 4], "gone": [1, None]}


def test_metrics_by_epoch() -> None:
    epochs = [{"epoch": i, "metrics": {"loss": value}} for i, value in enumerate([3.0, 1.0, 2.0, "nan"])]
    first, second = metrics(epochs, [])["loss"]
    assert first == {"last": 2.0, "lowest": [1.0, 1], "highest": [3.0, 0], "values": [3.0, 1.0, 2.0]}
    assert second == {"last": None, "lowest": None, "highest": None, "values": []}


@pytest.mark.filterwarnings("ignore::lightning_nnguard.warning.NNGuardWarning")
def test_two_runs_side_by_side(tmp_path: Path) -> None:
    good, bad = train(tmp_path / "good", lr=0.05), train(tmp_path / "bad", lr=1e30)
    found = comparison(read(good), read(bad))
    assert found["settings"] == {"hyper_parameters.lr": [0.05, 1e30], "optimizers.0.lr": [0.05, 1e30]}
    assert list(found["findings"]) == ["NNG303"]
    assert found["findings"]["NNG303"][0] is None
    assert json.loads(nnguard("compare", good, bad, "--format", "json").stdout) == found
    text = nnguard("compare", good, bad).stdout
    for part in ("hyper_parameters.lr", "1e+30", "val_acc", "error non-finite-activation", "%"):
        assert part in text


def test_values_are_shown_as_they_are(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", {"event": "start", "hyper_parameters": {"name": "[bold]x[/bold]"}})
    second = write(tmp_path / "b.jsonl", {"event": "start", "hyper_parameters": {"name": "y"}})
    assert "[bold]x[/bold]" in nnguard("compare", first, second).stdout


def test_revision_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision() is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q"], check=True)
    (tmp_path / "file").write_text("one")
    subprocess.run(["git", "add", "file"], check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "first"], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert revision() == head
    (tmp_path / "file").write_text("two")
    assert revision() == f"{head}+changes"
