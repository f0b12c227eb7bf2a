"""Each example runs, and says what its page promises."""

from pathlib import Path

import pytest

from lightning_nnguard.rules import all_rules
from tests.running import ROOT, run_module

CLEAN = "nnguard: no findings"
CONFIG = str(ROOT / "examples/cli/config.yaml")


@pytest.mark.parametrize(
    ("name", "says"),
    [("digits_cnn", "validation accuracy 0."), ("char_transformer", "nats a character"), ("gan", "panels: ")],
)
def test_healthy_example_is_clean(name: str, says: str, tmp_path: Path) -> None:
    ended = run_module(f"examples.{name}", "--fast", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert CLEAN in ended.stderr
    assert "Warning" not in ended.stderr
    assert says in ended.stdout


def test_run_that_goes_wrong_is_put_right(tmp_path: Path) -> None:
    ended = run_module("examples.goes_wrong", "--fast", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "FindingWarning: NNG402 vanishing-gradient  [layers.1.weight, step " in ended.stderr
    assert "\n  fix: add residual connections or normalisation" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(CLEAN)
    assert ended.stdout.endswith("NNG402 vanishing-gradient; after: 0 findings\n")


def test_nan_on_rank_1_is_told_once_by_rank_0(tmp_path: Path) -> None:
    ended = run_module("examples.two_processes_ddp", "--fast", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("FindingError: NNG101 non-finite-input") == 1
    assert ended.stdout.startswith("rank 0 of 2 says: NNG101 non-finite-input  [batch[0], step 5, epoch 0, rank 1]: 1 NaN or Inf")
    assert "first in sample 7 at (0, 3, 4)" in ended.stdout
    assert list(tmp_path.rglob("nnguard_nonfinite_step5_rank1.pt"))


def test_cli_takes_the_guard_from_yaml(tmp_path: Path) -> None:
    ended = run_module("examples.cli.train", "fit", "--config", CONFIG, "--trainer.max_epochs", "2", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert f"{CLEAN}: {len(all_rules()) - 1} rules over 46 steps" in ended.stderr  # one is ignored in the YAML


def test_cli_tells_a_mistake_before_training(tmp_path: Path) -> None:
    mistake = "--trainer.callbacks.init_args.every_n_steps=0"
    ended = run_module("examples.cli.train", "fit", "--config", CONFIG, mistake, folder=tmp_path)
    assert ended.returncode != 0
    assert "every_n_steps" in ended.stderr


def test_each_example_has_its_section() -> None:
    page = (ROOT / "examples/README.md").read_text("utf-8")
    programs = [path for path in (ROOT / "examples").rglob("*.py") if "__main__" in path.read_text("utf-8")]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in programs]
    assert len(modules) >= 7
    assert not [module for module in modules if f"python -m {module}" not in page]
