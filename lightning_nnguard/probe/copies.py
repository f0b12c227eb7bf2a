"""A copy of the user's module that can run a step without touching the run it came from."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn


def detached_copy(module: nn.Module, *, silent: bool = True) -> nn.Module:
    """Return a deep copy of a LightningModule with a stand-in for its trainer.

    Args:
        module: The module.
        silent: Whether the copy's logging methods do nothing; without it they are as they were, for pickling, without a trainer.

    Raises:
        Exception: Whatever the module's own attributes raise when they are copied.
    """
    # deepcopy takes what the memo holds for an object instead of copying it.
    owners = (getattr(module, name, None) for name in ("_trainer", "_fabric"))
    compiled: Mapping[str, Any] | None = getattr(module, "_compiler_ctx", None)  # Lightning's mark of a compiled LightningModule
    memo: dict[int, Any] = {id(owner): None for owner in (*owners, compiled) if owner is not None}
    twin = copy.deepcopy(module, memo)
    for name in compiled or ():  # its compiled methods would run on the module itself
        vars(twin).pop(name.removeprefix("original_"), None)
    if silent:
        silence(twin)
        attach(twin, trainer_numbers(module))
    return twin


def trainer_numbers(module: nn.Module) -> dict[str, Any]:
    """Return the plain numbers of a module's Trainer that its steps may ask for (annealed weights, logging on one rank)."""
    trainer = getattr(module, "_trainer", None)
    numbers = {name: getattr(trainer, name, None) for name in _NUMBERS}
    found = {name: value for name, value in numbers.items() if isinstance(value, int | float)}
    return {**found, "num_optimizers": len(getattr(trainer, "optimizers", ()))}


def attach(module: nn.Module, numbers: Mapping[str, Any]) -> None:
    """Give a copied LightningModule a stand-in for its Trainer: it knows these numbers, writes nothing and steps nothing."""
    numbers = {"num_optimizers": 1, **numbers}
    idle = [_Idle() for _ in range(numbers["num_optimizers"])]
    optimizers = idle[0] if len(idle) == 1 else idle
    known = {**numbers, "is_global_zero": False, "logger": None, "loggers": [], "training": True, "sanity_checking": False}
    for each in module.modules():
        if each is module or "_trainer" in vars(each):  # a LightningModule may hold others
            object.__setattr__(each, "_trainer", SimpleNamespace(**known))
    for name in ("optimizers", "lr_schedulers"):
        object.__setattr__(module, name, lambda *args, **kwargs: optimizers)
    for name in ("manual_backward", "clip_gradients", "toggle_optimizer", "untoggle_optimizer"):
        object.__setattr__(module, name, lambda *args, **kwargs: None)


_NUMBERS = (
    "global_step", "current_epoch", "global_rank", "local_rank", "world_size", "max_epochs", "max_steps", "num_training_batches",
    "accumulate_grad_batches", "log_every_n_steps",
)  # fmt: skip


class _Idle:
    """An optimizer or scheduler all of whose methods do nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


def silence(module: nn.Module, log: Callable[..., None] | None = None) -> None:
    """Replace the logging methods of a copied LightningModule by a function that takes anything; nothing by default."""

    def nothing(*args: object, **kwargs: object) -> None:
        return None

    for name in ("log", "log_dict"):
        object.__setattr__(module, name, nothing)
    if log is not None:
        object.__setattr__(module, "log", log)
        object.__setattr__(
            module, "log_dict", lambda values, *args, **kwargs: [log(key, value, **kwargs) for key, value in values.items()]
        )


def random_state(device: torch.device) -> tuple[torch.Tensor, ...]:
    """Return the random state of torch on the CPU and on a GPU; of others only that of the CPU."""
    return (torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else []))


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore the random state of Python, NumPy and torch (all devices in use) at the end."""
    python, numpy = random.getstate(), np.random.get_state()
    in_use = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = list(range(torch.cuda.device_count())) if in_use else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
