"""Importing the package is free, and its public names are all there."""

import subprocess
import sys

import pytest

import lightning_nnguard

HEAVY = {"torch", "lightning", "pytorch_lightning", "numpy", "pydantic", "rich", "typer", "tensorboard"}


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_loads_nothing_heavy() -> None:
    loaded = set(python("import sys, lightning_nnguard; print(*sys.modules)").split())
    assert not HEAVY & loaded


def test_the_test_above_can_fail() -> None:
    loaded = set(python("import sys, lightning_nnguard, numpy; print(*sys.modules)").split())
    assert {"numpy"} == HEAVY & loaded


def test_import_is_fast() -> None:
    code = "import time; start = time.perf_counter(); import lightning_nnguard; print(time.perf_counter() - start)"
    assert min(float(python(code)) for _ in range(5)) < 0.1


def test_every_public_name_is_there() -> None:
    for name in lightning_nnguard.__all__:
        assert getattr(lightning_nnguard, name) is not None
    assert set(lightning_nnguard.__all__) <= set(dir(lightning_nnguard))
    assert sorted(lightning_nnguard.__all__) == sorted(["__version__", *lightning_nnguard._MODULES])


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'lightning_nnguard' has no attribute 'NoSuchName'"):
        _ = lightning_nnguard.NoSuchName
    assert not hasattr(lightning_nnguard, "__wrapped__")
