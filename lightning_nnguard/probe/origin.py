"""Where a non-finite value began: one step run again on a copy, every call looked at."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_nnguard.probe.copies import attach, detached_copy, random_state_kept
from lightning_nnguard.probe.frames import caller
from lightning_nnguard.probe.names import module_names

#: Calls that put non-finite values into a tensor on purpose.
_ON_PURPOSE = {
    "masked_fill",
    "masked_fill_",
    "fill_",
    "full_like",
    "new_full",
    "where",
    "__setitem__",
    "triu",
    "tril",
    "empty_like",
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The first call that made a non-finite value out of finite ones.

    Attributes:
        where: Path of the module that made the call.
        function: Name of the function.
        source: "file.py:48" of the user's line; None when only library code is on the stack.
        values: What it made, such as "3 NaN, 0 Inf of 640".
    """

    where: str
    function: str
    source: str | None
    values: str

    def __str__(self) -> str:
        line = f" at {self.source}" if self.source else ""
        return f"{self.function}{line} in {self.where or 'the training step'} turned finite inputs into {self.values}"


class _CollectiveFoundError(Exception):
    """The step talks to other ranks, so it cannot be run again on one of them."""


class NoCollectives(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Ends a step that is about to talk to other ranks, with an exception."""

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        if "c10d" in func.namespace:
            raise _CollectiveFoundError
        return func(*args, **(kwargs or {}))


class _Search(TorchFunctionMode):
    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self._names = names
        self.found: Origin | None = None
        self._is_over = False

    def __torch_function__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._is_over:
            return func(*args, **kwargs)
        before = _worst((*args, *kwargs.values()))
        result = func(*args, **kwargs)
        after = _worst((result,))
        name = getattr(func, "__name__", str(func))
        if after <= before or name in _ON_PURPOSE:
            return result
        if before == _GOOD or self.found is None:
            bad = next(each for each in _tensors((result,)) if not is_finite(each))
            who = caller(self._names)
            values = f"{int(bad.isnan().sum())} NaN, {int(bad.isinf().sum())} Inf of {bad.numel()} values"
            self.found = Origin(where=who.path, function=name, source=who.source, values=values)
        # -inf alone may be a mask, such as the logarithm of zeros and ones; the search goes on for something worse.
        self._is_over = after == _BAD
        return result


_GOOD, _MASKED, _BAD = range(3)


def _worst(values: tuple[Any, ...]) -> int:
    """Return whether all numbers are finite, or some are -inf, or some are NaN or +inf."""
    worst = _GOOD
    for tensor in _tensors(values):
        if not is_finite(tensor):
            high = tensor.detach().amax()
            worst = max(worst, _MASKED if bool(high < torch.inf) else _BAD)
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            worst = max(worst, _MASKED if value < 0 else _BAD)
    return worst


def _tensors(values: tuple[Any, ...]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            if value.is_floating_point() and value.numel() and value.layout is torch.strided:
                yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(tuple(value))


@torch.no_grad()
def is_finite(tensor: Tensor) -> bool:
    """Return whether all elements are finite; waits for the device. The extremes are NaN when any element is."""
    low, high = tensor.detach().aminmax()
    return bool(torch.isfinite(low) & torch.isfinite(high))


def run_training_step(module: nn.Module, batch: object, batch_index: int) -> object:
    """Call a LightningModule's training step with the arguments that it takes, and return its output."""
    step: Callable[..., object] = module.training_step  # type: ignore[assignment]
    names = list(inspect.signature(step).parameters)
    arguments = {name: value for name, value in (("batch_idx", batch_index), ("dataloader_idx", 0)) if name in names}
    positional = [batch] if len(names) != 2 or "batch_idx" in names else [batch, batch_index]
    return step(*positional, **arguments)


def find_origin(
    module: nn.Module,
    batch: object,
    batch_index: int,
    *,
    rng: Tensor | None,
    context: AbstractContextManager[object] | None = None,
    trainer: Mapping[str, Any] | None = None,
) -> Origin | None:
    """Run one training step again on a copy and return the first call that went bad; None when none did or none can be told.

    Args:
        module: The user's LightningModule; it is copied and left as it is.
        batch: The batch, on the module's device.
        batch_index: Its index in the epoch.
        rng: CPU random state at the start of the batch, shape (bytes,), uint8; None for the present one.
        context: Precision context (autocast) of the run.
        trainer: Numbers of the trainer that the step may ask for; None when the module still has its trainer.
    """
    with random_state_kept():
        twin = detached_copy(module)
        if trainer is not None:
            attach(twin, trainer)
        twin.train(module.training)
        for ours, theirs in zip(twin.modules(), module.modules(), strict=False):
            ours.training = theirs.training
        if rng is not None:
            torch.set_rng_state(rng)
        search = _Search(module_names(twin))
        try:
            with torch.enable_grad(), context or nullcontext(), NoCollectives(), search:  # type: ignore[no-untyped-call]
                run_training_step(twin, batch, batch_index)
        except Exception:
            # Manual optimisation and whatever else needs the trainer ends here; what was found before stands.
            return search.found
        return search.found
