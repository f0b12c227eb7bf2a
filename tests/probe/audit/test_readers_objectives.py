"""What the reader sees of the losses that backward passes start from, in records and in real training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.faults.program import QUIET
from lightning_nnguard import Finding, NNGuard
from lightning_nnguard.observation import ObjectiveSeen
from lightning_nnguard.probe.audit.readers.objectives import objectives
from tests.probe.audit.recording import Net, record

X, Y = torch.randn(8, 6), torch.randint(0, 3, (8,))


def of(loss: Callable[..., Tensor], **parts: Any) -> ObjectiveSeen:
    model = Net(loss, **{"a": nn.Linear(6, 3), **parts})
    (seen,) = objectives(record(model, model, X, Y))
    return seen


def ce(self: Net, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(self.a(x), y)


def test_a_healthy_loss():
    seen = of(lambda self, x, y: ce(self, x, y) / 2)
    assert (seen.requires_grad, seen.trains, seen.num_trainable, seen.cut_function) == (True, "parameters", 2, "")
    assert seen.value is not None


def test_a_loss_through_a_function_of_its_own():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, slope: Tensor) -> Tensor:  # type: ignore[override]
            return 2 * slope

    assert of(lambda self, x, y: Twice.apply(ce(self, x, y))).trains == "parameters"
    assert of(lambda self, x, y: checkpoint(self.a, x, use_reentrant=False).mean()).trains == "parameters"


def switched_off(self: Net, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return ce(self, x, y)


def with_a_teacher(self: Net, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        goal = self.a(x).softmax(1)
    return F.mse_loss(goal, self.a(x).detach())


@pytest.mark.parametrize(
    ("loss", "function", "without_grad"),
    [
        (lambda self, x, y: ce(self, x, y).detach(), "detach", False),
        (lambda self, x, y: ce(self, x, y).data * 2, "data", False),
        (lambda self, x, y: F.cross_entropy(self.a(x).detach(), y), "detach", False),
        (lambda self, x, y: (self.a(x).argmax(1) == y).float().mean(), "argmax", False),
        (lambda self, x, y: ((self.a(x) > 0).float().mean(1) - 1).abs().mean(), "gt", False),
        (lambda self, x, y: torch.tensor(ce(self, x, y).item()), "item", False),
        (lambda self, x, y: torch.tensor(float(ce(self, x, y).detach().numpy())), "numpy", False),
        (with_a_teacher, "detach", False),
        (switched_off, "linear", True),
    ],
    ids=["detach", "data", "logits", "argmax", "comparison", "item", "numpy", "teacher", "no_grad"],
)
def test_the_call_that_cuts_a_loss_off(loss, function, without_grad):
    seen = of(loss)
    assert (seen.requires_grad, seen.trains) == (False, "nothing")
    assert (seen.cut_function, seen.cut_without_grad) == (function, without_grad)
    assert seen.cut_source is not None


def logged(self: Net, x: Tensor, y: Tensor) -> Tensor:
    loss = torch.tensor(ce(self, x, y).item(), requires_grad=True)
    loss.detach()
    return loss / 1


@pytest.mark.parametrize(
    ("loss", "function"),
    [
        (logged, "item"),
        (lambda self, x, y: torch.tensor(ce(self, x, y).item(), requires_grad=True) / 1, "item"),
        (lambda self, x, y: torch.tensor([ce(self, x, y), ce(self, x, y)], requires_grad=True).mean(), "tensor"),
        (lambda self, x, y: ce(self, x, y).detach().requires_grad_(), "detach"),
        (lambda self, x, y: torch.autograd.Variable(ce(self, x, y).data, requires_grad=True), "data"),
    ],
    ids=["logged", "item", "tensor", "requires_grad_", "Variable"],
)
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True to a scalar")
def test_a_number_made_anew(loss, function):
    seen = of(loss)
    assert (seen.requires_grad, seen.trains, seen.cut_function) == (True, "nothing", function)


def test_a_constant_has_no_culprit():
    assert of(lambda self, x, y: torch.tensor(0.0, requires_grad=True)).cut_function == ""


def test_what_is_trained_outside_of_the_model():
    codes, frozen = torch.zeros(8, 6, requires_grad=True), nn.Linear(6, 3).requires_grad_(False)
    assert of(lambda self, x, y: F.cross_entropy(self.a(codes), y), a=frozen).trains == "others"
    assert of(lambda self, x, y: self.b[0](x).mean(), b=[nn.Linear(6, 3)]).trains == "others"


# -- in training


class Module(pl.LightningModule):
    def __init__(self, step: Callable[..., Any]) -> None:
        super().__init__()
        self.a, self.step = nn.Linear(6, 3), step

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        return self.step(self, *batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(module: pl.LightningModule, tmp_path: Any, **trainer: Any) -> list[Finding]:
    guard = NNGuard(select=["NNG207"])
    data = DataLoader(TensorDataset(torch.randn(32, 6), torch.randint(0, 3, (32,))), 8)
    settings = {**QUIET, "max_epochs": 1, "default_root_dir": tmp_path, **trainer}
    pl.Trainer(**settings, callbacks=[guard]).fit(module, data)
    return guard.findings


@pytest.mark.filterwarnings("ignore::lightning_nnguard.warning.NNGuardWarning")
def test_a_run_that_ends_in_its_first_backward_pass_is_explained(tmp_path):
    guard = NNGuard(select=["NNG207"])
    data = DataLoader(TensorDataset(X, Y), 8)
    trainer = pl.Trainer(**{**QUIET, "max_epochs": 1, "default_root_dir": tmp_path}, callbacks=[guard])
    with pytest.raises(RuntimeError, match="does not require grad"):
        trainer.fit(Module(lambda self, x, y: ce(self, x, y).detach()), data)
    (finding,) = guard.findings
    assert "carries no gradient" in finding.message
    assert "ce(self, x, y).detach()" in finding.message
    assert torch.overrides._get_current_function_mode() is None


@pytest.mark.filterwarnings("ignore::lightning_nnguard.warning.NNGuardWarning")
def test_a_number_trains_nothing_in_a_run(tmp_path):
    module = Module(lambda self, x, y: torch.autograd.Variable(ce(self, x, y).data, requires_grad=True))
    (finding,) = fit(module, tmp_path, accumulate_grad_batches=2)
    assert "0 of 2 parameters get a gradient" in finding.message
    assert "cut off by data at" in finding.message


class OwnBackward(Module):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.kept = ce(self, *batch)  # type: ignore[arg-type]
        return self.kept.detach()

    def backward(self, loss: Tensor, *args: object, **kwargs: object) -> None:
        self.kept.backward()


class ByHand(Module):
    def __init__(self) -> None:
        super().__init__(ce)
        self.automatic_optimization = False

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        optimizer = self.optimizers()
        for _ in range(2):
            optimizer.zero_grad()  # type: ignore[union-attr]
            self.manual_backward(super().training_step(batch, batch_idx))
            optimizer.step()  # type: ignore[union-attr]
            optimizer.zero_grad()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Module(ce),
        lambda: Module(lambda self, x, y: torch.tensor(0.0, requires_grad=True)),
        lambda: OwnBackward(ce),
        ByHand,
    ],
    ids=["healthy", "stand-in", "backward of its own", "by hand"],
)
def test_healthy_runs(make, tmp_path):
    assert fit(make(), tmp_path) == []
