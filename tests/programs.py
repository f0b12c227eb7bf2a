"""Tiny training programs: modules, data and a quiet Trainer, so that a test states only what it changes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_nnguard import (
    ActivationHistogram,
    DeadReLU,
    GradientHistogram,
    NNGuard,
    NonFinite,
    TrainEvalMode,
    UpdateRatio,
    ValidationGap,
)

#: What a test with a Trainer needs to say to see something on each of a few steps.
EVERY = {"every_n_steps": 2}
DROP_INS: dict[str, tuple[type, dict[str, Any]]] = {
    "NNGuard": (NNGuard, {**EVERY, "fair_batches": 1}),
    "ActivationHistogram": (ActivationHistogram, EVERY),
    "GradientHistogram": (GradientHistogram, EVERY),
    "UpdateRatio": (UpdateRatio, EVERY),
    "DeadReLU": (DeadReLU, EVERY),
    "NonFinite": (NonFinite, EVERY),
    "TrainEvalMode": (TrainEvalMode, EVERY),
    "ValidationGap": (ValidationGap, {"fair_batches": 1}),
}


def drop_in(name: str, **changes: Any) -> Any:
    """Build a callback of the package that samples every other step."""
    kind, arguments = DROP_INS[name]
    return kind(**{**arguments, **changes})


def seed(value: int = 0) -> None:
    """Seed torch, NumPy and Python."""
    torch.manual_seed(value)
    np.random.seed(value)
    random.seed(value)


def random_state() -> tuple[Any, ...]:
    """Return the random state of torch, NumPy and Python, comparable with ==."""
    numpy = np.random.get_state()
    return torch.get_rng_state().tolist(), (numpy[0], numpy[1].tolist(), *numpy[2:]), random.getstate()


def blobs(num: int = 64, *, num_features: int = 6, num_classes: int = 3) -> TensorDataset:
    """Return learnable data: classes around different centres. Sets of another size hold other samples of them.

    Leaves the global generator alone.
    """
    labels = torch.arange(num) % num_classes
    centres = 2 * torch.randn(num_classes, num_features, generator=torch.Generator().manual_seed(0))
    return TensorDataset(centres[labels] + torch.randn(num, num_features, generator=torch.Generator().manual_seed(num)), labels)


def loader(num: int = 64, batch_size: int = 8, **changes: Any) -> DataLoader[Any]:
    """Return a loader of `blobs`."""
    return DataLoader(blobs(num), batch_size=batch_size, **changes)


class Net(nn.Module):
    """A network with what guards look at: batch norm, rectifiers as module and as call, dropout as module and as call."""

    def __init__(self, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.first = nn.Linear(6, 16, bias=False)
        self.norm = nn.BatchNorm1d(16)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(dropout)
        self.second = nn.Linear(16, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.act(self.norm(self.first(x))))
        x = F.dropout(F.relu(self.second(x)), 0.1, training=self.training)
        hidden: Tensor = self.head(x)
        return hidden


class Classifier(pl.LightningModule):
    """A classifier whose loss and accuracy are logged for training and validation."""

    def __init__(self, *, dropout: float = 0.2, learning_rate: float = 0.05) -> None:
        super().__init__()
        self.net = Net(dropout=dropout)
        self.learning_rate = learning_rate

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y)
        self.log(f"{stage}_loss", loss, on_step=stage == "train", on_epoch=True)
        self.log(f"{stage}_acc", (logits.argmax(1) == y).float().mean(), on_epoch=True, on_step=False)
        return loss

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.shared_step(batch, "train")

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.shared_step(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.shared_step(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), self.learning_rate, momentum=0.9)


QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "max_epochs": 2,
    "log_every_n_steps": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def trainer(*callbacks: Any, **changes: Any) -> pl.Trainer:
    """Build a quiet Trainer on the CPU."""
    return pl.Trainer(**{**QUIET, "callbacks": list(callbacks), **changes})


def fit(module: Any, *callbacks: Any, train: Any = None, validation: Any = None, **changes: Any) -> pl.Trainer:
    """Fit a module, by default on a loader of `blobs`, and return the Trainer."""
    made = trainer(*callbacks, **changes)
    made.fit(module, train if train is not None else loader(), validation)
    return made


def hooks_in(module: nn.Module, optimizers: Sequence[torch.optim.Optimizer] = ()) -> list[str]:
    """Return the names of all hooks that are registered on a module, its children, its parameters and its optimizers."""
    found = []
    for name, each in module.named_modules():
        found += [
            f"{name}.{kind}"
            for kind, table in vars(each).items()
            if "hooks" in kind and kind.startswith("_") and table and kind not in _OWN
        ]
    for name, parameter in module.named_parameters():
        found += [f"{name}.{kind}" for kind in ("_backward_hooks", "_post_accumulate_grad_hooks") if getattr(parameter, kind, None)]
    for optimizer in optimizers:
        found += [kind for kind, table in vars(optimizer).items() if kind.endswith("_hooks") and table]
    return found


#: Tables that look like hooks and are the modules' own.
_OWN = {"_non_persistent_buffers_set", "_load_state_dict_pre_hooks", "_state_dict_hooks"}
