"""What a run is: read off the Trainer and the module when a fit begins."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from torch.optim import Optimizer

from lightning_nnguard.policy import Policy
from lightning_nnguard.sinks.sink import RunStart

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

_PACKAGES = ("lightning_nnguard", "lightning", "pytorch_lightning", "torch", "numpy", "tensorboard")
_TRAINER = (
    "max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "precision", "world_size",
    "num_training_batches", "check_val_every_n_epoch", "overfit_batches",
)  # fmt: skip
_GIT_SECONDS = 5


def run_start(trainer: Trainer, module: LightningModule, policy: Policy) -> RunStart:
    """Return what tells this run from others; what cannot be read is left out."""
    settings = {name: _plain(getattr(trainer, name, None)) for name in _TRAINER}
    hyper_parameters = {**_saved(getattr(trainer, "datamodule", None)), **_saved(module)}
    seed = os.environ.get("PL_GLOBAL_SEED", "")
    return RunStart(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        model=type(module).__qualname__,
        num_parameters=sum(each.numel() for each in module.parameters() if not hasattr(each, "materialize")),
        hyper_parameters=hyper_parameters,
        trainer={
            **settings, "strategy": type(trainer.strategy).__name__, "accelerator": type(trainer.accelerator).__name__,
            "callbacks": [type(each).__name__ for each in trainer.callbacks],  # type: ignore[attr-defined]
        },
        optimizers=[_settings(each) for each in trainer.optimizers],
        seed=int(seed) if seed.isdigit() else None,
        versions={"python": platform.python_version(), **_versions()},
        revision=revision(),
        rules=[rule.code for rule in policy.rules()],
        ignored=dict(policy.ignore),
    )  # fmt: skip


def _saved(owner: object) -> dict[str, object]:
    saved = getattr(owner, "hparams", None)
    return {str(name): _plain(value) for name, value in saved.items()} if isinstance(saved, Mapping) else {}


def _settings(optimizer: Optimizer) -> dict[str, object]:
    """Return class and settings of an optimizer, those of its first group for all."""
    group = optimizer.param_groups[0] if optimizer.param_groups else {}
    return {"class": type(optimizer).__name__, **{name: _plain(value) for name, value in group.items() if name != "params"}}


def _plain(value: object) -> object:
    """Return a value in types of JSON; what is none of them by its text."""
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def revision() -> str | None:
    """Return the git revision of the working directory, "+changes" behind it when a tracked file differs; None without one."""
    try:
        head = _git("rev-parse", "HEAD")
        return f"{head}+changes" if _git("status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    # By its path: looking for it, `subprocess` enters `warnings.catch_warnings`, and all warnings of the user's would come again.
    git = shutil.which("git")
    if git is None:
        raise FileNotFoundError("git")
    done = subprocess.run([git, *arguments], capture_output=True, text=True, check=True, timeout=_GIT_SECONDS)
    return done.stdout.strip()
