"""Names of parameters, and whose code uses them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import nn

from lightning_nnguard.probe.names import parameters_of


class Own(nn.Module):
    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.ModuleList(inner)
        self.head = nn.Linear(2, 2)


def installed(model: nn.Module) -> dict[str, bool]:
    return {info.name: info.is_installed for info in parameters_of(model)}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[nn.Module]:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    lines = ["from torch import nn", "class Theirs(nn.Module):", " def __init__(self):", "  super().__init__()"]
    text = "\n".join([*lines, "  self.layer = nn.Linear(2, 2)"])
    (folder / "their_package.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    import their_package  # type: ignore[import-not-found]

    monkeypatch.setitem(sys.modules, "their_package", their_package)
    kind: type[nn.Module] = their_package.Theirs
    return kind


def test_the_innermost_class_that_is_not_torchs_counts(package: type[nn.Module]) -> None:
    found = installed(Own(package(), nn.Sequential(nn.Linear(2, 2))))
    assert found == {
        "inner.0.layer.weight": True, "inner.0.layer.bias": True, "inner.1.0.weight": False, "inner.1.0.bias": False,
        "head.weight": False, "head.bias": False,
    }  # fmt: skip


def test_torch_alone_is_nobodys() -> None:
    assert not any(installed(nn.Sequential(nn.Linear(2, 2))).values())
