"""A training program: what a user would hand to a Trainer, and how it is run under guard."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_nnguard import Finding, NNGuard
from lightning_nnguard.sinks.sink import RunSummary
from lightning_nnguard.warning import NNGuardWarning

QUIET: Mapping[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "log_every_n_steps": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
Loss = Callable[[Tensor, Tensor], Tensor]
MakeOptimizer = Callable[[list[nn.Parameter]], Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler]


@dataclass(frozen=True, kw_only=True)
class Program:
    """A training program.

    Attributes:
        module: The LightningModule.
        train: Training loader.
        validation: Validation loader, if any.
        epochs: Epochs to train.
        trainer: Further arguments of the Trainer.
        guard: Arguments of `NNGuard`.
        ends_with: Words of the exception that ends its training; "" when it comes to its end.
    """

    module: Any
    train: Any
    validation: Any = None
    epochs: int
    trainer: Mapping[str, Any] = field(default_factory=dict)
    guard: Mapping[str, Any] = field(default_factory=dict)
    ends_with: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the guard said of a program.

    Attributes:
        findings: Its findings.
        notes: What it could not do.
        said: Code of a finding -> step of the round in which it was first said, which is later than its onset for a patient rule.
    """

    findings: list[Finding]
    notes: list[str]
    said: dict[str, int] = field(default_factory=dict)


def run(make: Callable[[], Program], folder: Path, *, seed: int = 0, **guard: Any) -> Outcome:
    """Run a program under `NNGuard`; Python warnings are errors here, the guard's own ones excepted.

    Args:
        make: Builds the program.
        folder: Where the run may write.
        seed: Seed of everything random, set before the program is built.
        guard: Arguments of `NNGuard`.
    """
    torch._dynamo.reset()  # the guard listens to no functions in a process that has compiled something
    pl.seed_everything(seed, verbose=False)
    program = make()
    watch = NNGuard(**{**program.guard, **guard})
    notes = _Notes()
    callbacks = [watch, notes, *program.trainer.get("callbacks", ())]
    settings = {**QUIET, "max_epochs": program.epochs, "default_root_dir": folder, **program.trainer, "callbacks": callbacks}
    notes.listen_to(watch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NNGuardWarning)
        warnings.filterwarnings("ignore", "Found .* module.s. in eval mode")  # Lightning's word on one of the faults
        warnings.filterwarnings("ignore", "The provided params to be frozen already exist")  # Lightning's, on batch norm
        try:
            pl.Trainer(**settings).fit(program.module, program.train, program.validation)
        except RuntimeError as error:
            if not program.ends_with or program.ends_with not in str(error):
                raise
    torch._dynamo.reset()
    return Outcome(findings=watch.findings, notes=notes.lines, said=notes.said)


class _Notes(pl.Callback):
    """Takes the notes of a guard out of its summary, and writes down when it said what."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.said: dict[str, int] = {}
        self._guard: NNGuard | None = None

    def listen_to(self, guard: NNGuard) -> None:
        self._guard = guard

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert self._guard is not None
        assert self._guard._run is not None
        monitor = self._guard._run.monitor
        monitor._sinks += (_NotesSink(self.lines, self.said, lambda: monitor._step),)


class _NotesSink:
    def __init__(self, lines: list[str], said: dict[str, int], step: Callable[[], int]) -> None:
        self._lines, self._said, self._step = lines, said, step

    def begin(self, start: object) -> None:
        pass

    def end_epoch(self, end: object) -> None:
        pass

    def announce(self, finding: Finding) -> None:
        self._said.setdefault(finding.code, self._step())

    def draw(self, charts: object) -> None:
        pass

    def finish(self, summary: RunSummary) -> None:
        self._lines += summary.notes


class Task(pl.LightningModule):
    """The usual LightningModule: a network, a loss of its output and the target, an optimizer, perhaps a scheduler.

    Args:
        net: The network.
        loss: The loss.
        optimizer: Makes the optimizer.
        scheduler: Makes the scheduler, which steps with each batch.
    """

    def __init__(
        self,
        net: nn.Module | None,
        loss: Loss = F.cross_entropy,
        optimizer: MakeOptimizer | None = None,
        scheduler: MakeScheduler | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self._loss = loss
        self._make_optimizer = optimizer or adam(1e-3)
        self._make_scheduler = scheduler

    def forward(self, x: Tensor) -> Tensor:
        assert self.net is not None
        return self.net(x)  # type: ignore[no-any-return]

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return self._loss(self(x), y)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch), batch_size=1)

    def configure_optimizers(self) -> Any:
        optimizer = self._make_optimizer([each for each in self.parameters() if each.requires_grad])
        if self._make_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._make_scheduler(optimizer), "interval": "step"}}


class Manual(pl.LightningModule):
    """A LightningModule that steps its optimizers by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def step(self, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


def adam(rate: float) -> MakeOptimizer:
    return lambda parameters: torch.optim.Adam(parameters, rate)


def sgd(rate: float, momentum: float = 0.0, weight_decay: float = 0.0) -> MakeOptimizer:
    return lambda parameters: torch.optim.SGD(parameters, rate, momentum=momentum, weight_decay=weight_decay)
