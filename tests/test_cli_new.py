"""What `nnguard new` writes is a rule that passes every check as it stands."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lightning_nnguard.cli import app
from lightning_nnguard.cli.families import families
from lightning_nnguard.cli.measures import measures, observations
from lightning_nnguard.rules import all_rules

ROOT = Path(__file__).parents[1]


def new(root: Path, family: str, name: str, *options: str) -> Result:
    return CliRunner().invoke(app, ["new", family, name, "--root", str(root), *options], env={"COLUMNS": "200"})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder with what a rule stands on, and no more: mypy would follow the public names into torch and Lightning."""
    package = tmp_path / "lightning_nnguard"
    for name in ("rules", "observation"):
        shutil.copytree(ROOT / "lightning_nnguard" / name, package / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__", "test_*", "conftest.py"))
    shutil.copy(ROOT / "lightning_nnguard" / "finding.py", package)
    (package / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def check(root: Path, *arguments: str) -> None:
    result = subprocess.run([sys.executable, "-m", *arguments], cwd=root, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def starts() -> Iterator[tuple[str, ...]]:
    """Every observation and number, with names as short and as long as they may be; then each family without options."""
    choices = [(kind, measure) for kind, each in observations().items() for measure in measures(each)]
    # A family has a hundred codes, so these share several that have few.
    roomy = ("activations", "gradients", "updates", "modes", "learning")
    for number, (kind, measure) in enumerate(choices):
        yield roomy[number % len(roomy)], f"{'a' * (1 if number % 2 else 36)}-{number}", "--sees", kind, "--measure", measure
    for family in families(ROOT / "lightning_nnguard" / "rules"):
        yield family, f"fault-of-{family}"


def test_every_start_passes_all_checks(root: Path) -> None:
    rules, tests = [], []
    for family, name, *options in starts():
        result = new(root, family, name, *options)
        assert result.exit_code == 0, result.stderr
        module = name.replace("-", "_")
        rules.append(f"lightning_nnguard/rules/{family}/{module}.py")
        tests.append(f"tests/rules/{family}/test_{module}.py")
    check(root, "ruff", "check", *rules, *tests)
    check(root, "ruff", "format", "--check", *rules, *tests)
    check(root, "mypy", "--strict", "--follow-imports=silent", *rules)
    check(root, "pytest", *tests)


def test_takes_the_code_after_the_last(root: Path) -> None:
    last = max(int(rule.code[3:]) for rule in all_rules() if rule.code.startswith("NNG5"))
    for number in (1, 2):
        result = new(root, "updates", f"update-number-{number}")
        assert f"NNG{last + number}" in result.stdout
        text = (root / f"lightning_nnguard/rules/updates/update_number_{number}.py").read_text()
        assert f'code: ClassVar[str] = "NNG{last + number}"' in text


def test_a_family_may_be_full(root: Path) -> None:
    (root / "lightning_nnguard/rules/updates/last.py").write_text('class Last:\n    code: ClassVar[str] = "NNG599"\n')
    result = new(root, "updates", "one-more")
    assert result.exit_code == 2
    assert "no code left after NNG599" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["updates", "update-too-large"], "there is a rule 'update-too-large' already"),
        (["data", "update-too-large"], "there is a rule 'update-too-large' already"),
        (
            ["update", "some-fault"],
            "unknown family 'update'; families are data, wiring, activations, gradients, updates, modes, learning",
        ),
        (["updates", "SomeFault"], "bad name 'SomeFault'"),
        (["updates", "some_fault"], "bad name 'some_fault'"),
        (["updates", "some--fault"], "bad name 'some--fault'"),
        (["updates", "../fault"], "bad name '../fault'"),
        (["updates", "class"], "bad name 'class'"),
        (["updates", "finding"], "bad name 'finding'"),
        (["updates", "update-seen"], "bad name 'update-seen'"),
        (["updates", "a" * 41], "it has 41 characters, and may have 40"),
        (["updates", "some-fault", "--sees", "Update"], "unknown observation --sees 'Update'; observations are "),
        (["updates", "some-fault", "--measure", "kind"], "unknown number --measure 'kind' of UpdateSeen; it has "),
    ],
)
def test_refuses(tmp_path: Path, arguments: list[str], message: str) -> None:
    rules = tmp_path / "lightning_nnguard" / "rules"
    shutil.copytree(ROOT / "lightning_nnguard" / "rules", rules)
    before = sorted(tmp_path.rglob("*"))
    result = new(tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in re.sub(r"\s+", " ", result.stderr)
    assert sorted(tmp_path.rglob("*")) == before


def test_refuses_another_folder(tmp_path: Path) -> None:
    result = new(tmp_path, "updates", "some-fault")
    assert result.exit_code == 2
    assert "--root must hold lightning_nnguard/rules" in result.stderr


def test_keeps_a_test_that_is_there(root: Path) -> None:
    test = root / "tests/rules/updates/test_some_fault.py"
    test.parent.mkdir(parents=True, exist_ok=True)
    test.write_text("mine")
    assert "exists already" in new(root, "updates", "some-fault").stderr
    assert test.read_text() == "mine"
    assert not (root / "lightning_nnguard/rules/updates/some_fault.py").exists()
