"""What a run leaves behind, on every rank and after every entry of the Trainer, for comparison with another run."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch.nn.modules import module as modules
from torch.overrides import _get_current_function_mode_stack

from lightning_nnguard.stats.norms import local
from tests.programs import hooks_in, random_state, seed


class Rows(Logger):
    """A logger that keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "rows"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self.is_users(metrics):
            self.rows.append((step, {name: float(value) for name, value in metrics.items()}))

    def is_users(self, metrics: Mapping[str, float]) -> bool:
        """Return whether a row is Lightning's; the guard logs scalars of its own."""
        return "epoch" in metrics


class Witness(pl.Callback):
    """Stands last among the callbacks and writes down what it finds when an entry of the Trainer ends, be it with an exception.

    Args:
        folder: Where each rank writes its files, one for each entry.
        seeds: Whether to seed the processes that the Trainer has started: Python's generator is seeded anew by a fork.
    """

    def __init__(self, folder: Path, *, seeds: bool) -> None:
        self.folder, self.seeds, self.num_references = folder, seeds, 0
        self.losses: list[Tensor] = []
        self.gradients: dict[str, Tensor | None] = {}

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if self.seeds:
            seed(2)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        self.losses.append(loss.detach().clone())

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        gradients = {name: each.grad for name, each in pl_module.named_parameters()}
        self.gradients = {name: None if each is None else local(each).clone() for name, each in gradients.items()}
        self.num_references += sum(weakref.getweakrefcount(each) for each in pl_module.parameters())

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._write(trainer, pl_module, type(exception).__name__)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._write(trainer, pl_module, "")

    def _write(self, trainer: Any, module: Any, error: str) -> None:
        found = {
            "weights": {name: local(each) for name, each in module.named_parameters()},
            "buffers": dict(module.named_buffers()),
            "gradients": self.gradients,
            "optimizers": [_local(each.state_dict()) for each in trainer.optimizers],
            "schedulers": [each.scheduler.state_dict() for each in trainer.lr_scheduler_configs],
            "scaler": trainer.precision_plugin.scaler.state_dict() if getattr(trainer.precision_plugin, "scaler", None) else None,
            "random": random_state(),
            "losses": self.losses,
            "metrics": dict(trainer.callback_metrics),
            "logged": [each.rows for each in trainer.loggers if isinstance(each, Rows)],
            "training": [each.training for each in module.modules()],
            "requires_grad": [each.requires_grad for each in module.parameters()],
            "hooks": hooks_in(module, trainer.optimizers) + _global_hooks(),
            "weak references": self.num_references,  # a parameter that has any cannot be swapped
            "function modes": [type(each).__name__ for each in _get_current_function_mode_stack()],
            "ended": (error, trainer.global_step, trainer.current_epoch),
        }
        folder = self.folder / f"rank {trainer.global_rank}"
        folder.mkdir(exist_ok=True)
        torch.save(found, folder / f"{len(list(folder.iterdir()))}.pt")


def _local(value: Any) -> Any:
    """Return nested data with this rank's part of each tensor."""
    if isinstance(value, Tensor):
        return local(value)
    if isinstance(value, dict):
        return {key: _local(each) for key, each in value.items()}
    return [_local(each) for each in value] if isinstance(value, list | tuple) else value


def _global_hooks() -> list[str]:
    return [name for name, table in vars(modules).items() if name.startswith("_global_") and name.endswith("_hooks") and table]


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what witnesses have written: "rank number" -> what was found."""
    files = sorted(folder.glob("rank */*.pt"))
    return {f"{file.parent.name} {file.stem}": torch.load(file, weights_only=False) for file in files}


def same(ours: object, theirs: object) -> bool:
    """Return whether two nested structures are bit-identical; NaN equals itself."""
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        return ours.dtype == theirs.dtype and ours.shape == theirs.shape and _bytes(ours) == _bytes(theirs)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return repr(ours) == repr(theirs) if isinstance(ours, float) else ours == theirs


def _bytes(value: Tensor) -> bytes:
    flat = value.detach().reshape(-1).contiguous()
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
