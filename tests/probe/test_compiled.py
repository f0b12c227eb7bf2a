"""Compiled code is recognised, told, and nothing else is taken for it. In processes of their own: a process compiles for good."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from lightning_nnguard.probe.compiled import can_run_uncompiled

STEP = """
import torch
from lightning_nnguard.probe.compiled import compile_is_used
model = torch.nn.Linear(2, 2)
optimizer = torch.optim.Adam(model.parameters())
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
"""
FIT = """
import lightning, torch
from lightning_nnguard import NNGuard

class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = WRAP(torch.nn.Linear(2, 2))
    def training_step(self, batch, batch_idx):
        return self.layer(batch[0]).square().mean()
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())

data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(80, 2)), batch_size=4)
quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
lightning.Trainer(max_epochs=1, callbacks=[NNGuard()], accelerator="cpu", **quiet).fit(Model(), data)
"""


class Here(torch.nn.Module):
    """A module of this file."""


def python(code: str) -> str:
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ended.stdout + ended.stderr


def test_an_optimizer_step_is_no_compiled_code() -> None:
    assert python(f"{STEP}print(compile_is_used())").strip() == "False"


def test_a_compiled_function_is() -> None:
    code = f"{STEP}torch.compile(torch.sin, backend='eager')(torch.ones(1))\nprint(compile_is_used())"
    assert python(code).splitlines()[-1] == "True"


@pytest.mark.pitfall(1)
def test_what_is_not_seen_is_told() -> None:
    assert "note: code is compiled in this process" in python(FIT.replace("WRAP", "(lambda m: torch.compile(m, backend='eager'))"))
    assert "compiled" not in python(FIT.replace("WRAP", ""))


def test_flex_attention_is_not_run_without_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_run_uncompiled(Here())
    monkeypatch.setattr(sys.modules[__name__], "flex_attention", None, raising=False)
    assert not can_run_uncompiled(torch.nn.Sequential(Here()))


def test_without_stances_nothing_is_run_without_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.compiler, "set_stance")
    assert not can_run_uncompiled(Here())
