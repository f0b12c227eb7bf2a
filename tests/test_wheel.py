"""The wheel holds the package, the whole package, and nothing but the package."""

import subprocess
import sys
from collections.abc import Mapping
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

import lightning_nnguard

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", str(ROOT), "--wheel-dir", str(folder)]
    subprocess.run([*pip, "--no-index", "--no-deps", "--no-build-isolation"], check=True, capture_output=True)
    with ZipFile(next(folder.glob("*.whl"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def only(wheel: Mapping[str, bytes], end: str) -> str:
    (name,) = (name for name in wheel if name.endswith(end))
    return wheel[name].decode()


def test_holds_the_package_and_nothing_else(wheel: Mapping[str, bytes]) -> None:
    package = {name for name in wheel if name.startswith("lightning_nnguard/")}
    others = {name.partition("/")[0] for name in wheel.keys() - package}
    assert others == {f"lightning_nnguard-{lightning_nnguard.__version__}.dist-info"}
    assert not {name for name in package if "__pycache__" in name or "test_" in name}
    assert "lightning_nnguard/py.typed" in package
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "lightning_nnguard").rglob("*.py")}
    assert modules == {name for name in package if name.endswith(".py")}


def test_metadata(wheel: Mapping[str, bytes]) -> None:
    metadata = message_from_bytes(only(wheel, ".dist-info/METADATA").encode())
    assert metadata["Name"] == "lightning_nnguard"
    assert metadata["Version"] == lightning_nnguard.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in only(wheel, "licenses/LICENSE")
    assert metadata["Requires-Python"] == ">=3.11"


def test_entry_points(wheel: Mapping[str, bytes]) -> None:
    assert only(wheel, "entry_points.txt").split("\n")[:2] == ["[console_scripts]", "nnguard = lightning_nnguard.cli:app"]
