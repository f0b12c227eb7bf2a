"""A copy of the user's module that can run a step without touching the run it came from."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


def detached_copy(module: nn.Module, *, silent: bool = True) -> nn.Module:
    """Return a deep copy of a LightningModule without its trainer.

    Args:
        module: The module.
        silent: Whether the copy's logging methods do nothing; without it they are as they were, for pickling.

    Raises:
        Exception: Whatever the module's own attributes raise when they are copied.
    """
    # deepcopy takes what the memo holds for an object instead of copying it.
    owners = (getattr(module, name, None) for name in ("_trainer", "_fabric"))
    memo: dict[int, Any] = {id(owner): None for owner in owners if owner is not None}
    twin = copy.deepcopy(module, memo)
    if silent:
        silence(twin)
    return twin


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
