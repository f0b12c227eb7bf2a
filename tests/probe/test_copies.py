"""Copies that run a step again: they know the trainer's numbers, write nothing, step nothing, and leave the run alone."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightning_nnguard import NNGuardWarning, NonFinite
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.copies import detached_copy, random_state_kept
from lightning_nnguard.probe.nonfinite import BatchKept
from lightning_nnguard.probe.origin import find_origin
from lightning_nnguard.probe.replay import replay, save_batch
from tests.programs import fit, random_state, seed


class Annealed(pl.LightningModule):
    """Goes bad only late in training, by a weight that depends on the step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.layer(batch).square().mean()
        self.log("loss", loss)
        self.print("once")
        if self.global_step >= 5 and self.trainer.max_epochs and self.logger is None:
            loss = loss + (self.layer.weight.detach() * 0).log().sum()
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


class Manual(Annealed):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        first, second = self.optimizers()
        self.toggle_optimizer(first)
        loss = super().training_step(batch, batch_idx)
        first.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(first, gradient_clip_val=1.0)
        first.step()
        self.untoggle_optimizer(first)
        second.step()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([self.layer.weight], 0.01), torch.optim.SGD([self.layer.bias], 0.01)


@pytest.mark.parametrize("build", [Annealed, Manual])
def test_origin_depends_on_the_trainers_numbers(build: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard, module = NonFinite(), build()
    with pytest.warns(NNGuardWarning):
        fit(module, guard, train=torch.ones(8, 4, 2), max_epochs=1, default_root_dir=tmp_path)
    assert any("log at test_copies.py" in finding.message for finding in guard.findings), guard.findings
    assert capsys.readouterr().out.count("once") == 8
    (file,) = tmp_path.glob("*.pt")
    assert "log at test_copies.py" in replay(file)


class Stubborn(Annealed):
    """Cannot be copied: it holds a tensor of an autograd graph."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.kept = loss * 1
        return loss


def test_a_module_that_cannot_be_copied_still_has_its_fault_told(tmp_path: Path) -> None:
    guard = NonFinite()
    with pytest.warns(NNGuardWarning, match="non-finite-loss"):
        fit(Stubborn(), guard, train=torch.ones(8, 4, 2), max_epochs=1, default_root_dir=tmp_path)
    assert "non-finite-loss" in [finding.name for finding in guard.findings]
    (file,) = tmp_path.glob("*.pt")
    with pytest.raises(ValueError, match="was not saved"):
        replay(file)


def test_a_copy_has_no_trainer_and_logs_nothing() -> None:
    module = Annealed()
    object.__setattr__(module, "_trainer", SimpleNamespace(global_step=3, current_epoch=2, max_epochs=4, optimizers=[1, 2]))
    twin: Any = detached_copy(module)
    assert (twin.global_step, twin.current_epoch, twin.trainer.max_epochs) == (3, 2, 4)
    assert not twin.trainer.is_global_zero
    assert twin.log("loss", 1.0) is None
    assert twin.log_dict({"loss": 1.0}) is None
    assert len(twin.optimizers()) == 2
    assert module._trainer is not twin._trainer
    assert torch.equal(twin.layer.weight, module.layer.weight)
    assert twin.layer.weight is not module.layer.weight


def test_a_copy_of_a_compiled_module_runs_its_own_methods() -> None:
    class Counts(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.zeros(()))

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.total += 1

    module = Counts()
    step = module.training_step
    # As `lightning.pytorch.utilities.compile.from_compiled` leaves it; really compiling would mark this process for good.
    module._compiler_ctx = {"compiler": "dynamo", "dynamo_ctx": object(), "original_training_step": step}
    module.training_step = lambda *args: step(*args)  # type: ignore[method-assign]
    twin: Any = detached_copy(module)
    twin.training_step(None, 0)
    assert (float(module.total), float(twin.total)) == (0.0, 1.0)


def test_random_state_is_kept_also_when_it_raises() -> None:
    seed(5)
    before = random_state()

    @random_state_kept()
    def draw() -> None:
        torch.rand(3), np.random.rand(), random.random()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        draw()
    assert random_state() == before


# -- origins of NaN and Inf ------------------------------------------------------------------------------------------------------


class Step(nn.Module):
    def __init__(self, step: Any) -> None:
        super().__init__()
        self.step = step

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return self.step(batch)


def causal(x: Tensor) -> Tensor:
    return torch.full((4, 4), float("-inf")).triu(1) + x


def log_mask(x: Tensor) -> Tensor:
    return torch.softmax(x + torch.ones(4, 4).tril().log(), dim=-1)


ON_PURPOSE: dict[str, Any] = {
    "full": lambda x: torch.softmax(causal(x), dim=-1).sum(),
    "masked_fill": lambda x: torch.softmax(x.masked_fill(x > 0.5, -torch.inf), dim=-1).nan_to_num().sum(),
    "scalar": lambda x: torch.softmax(x + (1 - torch.ones(4, 4).tril()) * -1e9, dim=-1).sum(),
    "maximum": lambda x: torch.maximum(x, torch.tensor(-torch.inf)).sum(),
    "amax of a mask": lambda x: causal(x).amax(-1).sum(),
    "comparison": lambda x: (x < torch.inf).float().sum(),
}
FAULTS: dict[str, tuple[Any, str]] = {
    "log of zero": (lambda x: (x * 0).log().sum(), "log"),
    "log of zero times zero": (lambda x: ((x * 0).log() * 0).sum(), "log"),
    "root": (lambda x: (-x - 9).sqrt().sum(), "sqrt"),
    "division": (lambda x: (x / (x * 0)).sum(), "div"),
    "overflow": (lambda x: (x.abs() * 100).half().exp().sum(), "exp"),
    "behind a mask of logarithms": (lambda x: log_mask(x).sum() + (-x - 9).sqrt().sum(), "sqrt"),
    "a row that is masked throughout": (lambda x: torch.softmax(x.masked_fill(x > -99, -torch.inf), dim=-1).sum(), "softmax"),
    "in place": (lambda x: x.clone().mul_(0).log_().sum(), "log_"),
}


@pytest.mark.parametrize("case", ON_PURPOSE)
def test_masks_have_no_origin(case: str) -> None:
    found = find_origin(Step(ON_PURPOSE[case]), torch.randn(4, 4), 0, rng=None)
    assert found is None or case == "masked_fill"


@pytest.mark.parametrize("case", FAULTS)
def test_faults_have_one(case: str) -> None:
    step, function = FAULTS[case]
    found = find_origin(Step(step), torch.randn(4, 4), 0, rng=None)
    assert found is not None
    assert function in found.function
    assert found.source is not None
    assert found.source.startswith("test_copies.py:")


def test_a_gradient_that_goes_bad_is_found_before_the_step(tmp_path: Path) -> None:
    class Root(Annealed):
        def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
            value = self.layer(batch).sum()
            return (value * 0).sqrt() if batch_idx == 3 else value.square() * 0.01  # the root's slope at 0 is infinite

    guard, module = NonFinite(fail_on="error"), Root()
    with pytest.raises(RuntimeError, match="NNG401"), pytest.warns(NNGuardWarning):
        fit(module, guard, train=torch.ones(8, 4, 2), max_epochs=1, default_root_dir=tmp_path)
    assert all(torch.isfinite(each).all() for each in module.parameters())
    assert guard.findings[0].step == 3


def test_batches_that_cannot_be_pickled_are_told(tmp_path: Path) -> None:
    kept = BatchKept(batch=lambda: None, at=At(step=1, epoch=0, batch_index=1), rng=torch.get_rng_state())
    save_batch(Annealed(), kept, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match="batch was not saved"):
        replay(tmp_path / "bad.pt")
