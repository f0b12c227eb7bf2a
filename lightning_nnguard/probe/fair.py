"""Fair measurement of the gap: the user's own validation step, in eval mode, on a fixed slice of training data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.copies import detached_copy, random_state_kept, silence


class TrainingSlice:
    """The first training batches of a run, kept to be measured like validation data.

    Args:
        num_batches: Batches to keep, on their device.
    """

    def __init__(self, num_batches: int) -> None:
        self._num_batches = num_batches
        self._batches: list[object] = []

    def offer(self, batch: object) -> None:
        """Keep a batch while there is room."""
        if len(self._batches) < self._num_batches:
            self._batches.append(batch)

    @torch.no_grad()
    def measure(self, module: nn.Module, context: AbstractContextManager[object]) -> dict[str, float]:
        """Return what the user's validation step logs when it is given the training slice.

        The step runs on a copy of the module, its metrics included and reset, so neither the run's metrics nor its random state
        change. Tensors are averaged over batches, weighted by batch size; metrics are computed at the end.

        Args:
            module: The user's LightningModule.
            context: Precision context (autocast) of the run.

        Raises:
            Exception: Whatever the user's validation step raises without a trainer.
        """
        if not self._batches:
            return {}
        with random_state_kept(), context:
            twin = detached_copy(module)
            twin.eval()
            logged = _Logged()
            silence(twin, logged.log)
            for each in twin.modules():
                if any(base.__module__.startswith("torchmetrics.") for base in type(each).__mro__):
                    each.reset()  # type: ignore[operator]
            _call(twin, "on_validation_epoch_start")
            for index, batch in enumerate(self._batches):
                logged.batch_size = next((len(each) for _, each in tensors_in(batch) if each.dim()), 1)
                _validation_step(twin, batch, index)
            _call(twin, "on_validation_epoch_end")
            return logged.values()


def _call(module: nn.Module, hook: str) -> None:
    method: Callable[[], object] | None = getattr(module, hook, None)
    if method is not None:
        method()


def _validation_step(module: nn.Module, batch: object, index: int) -> None:
    step: Callable[..., object] = module.validation_step  # type: ignore[assignment]
    names = list(inspect.signature(step).parameters)
    positional = [batch, index][: max(1, len([name for name in names if name != "dataloader_idx"]))]
    step(*positional, **({"dataloader_idx": 0} if "dataloader_idx" in names else {}))


class _Logged:
    def __init__(self) -> None:
        self.batch_size = 1
        self._sums: dict[str, tuple[float, float]] = {}
        self._metrics: dict[str, Any] = {}

    def log(self, name: str, value: object, *args: object, batch_size: int | None = None, **kwargs: object) -> None:
        if hasattr(value, "compute") and hasattr(value, "update"):
            self._metrics[name] = value
        elif isinstance(value, Tensor | int | float):
            weight = float(batch_size or self.batch_size)
            total, weights = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = total + float(value) * weight, weights + weight

    def values(self) -> dict[str, float]:
        means = {name: total / weight for name, (total, weight) in self._sums.items() if weight}
        computed = {name: metric.compute() for name, metric in self._metrics.items()}
        return means | {name: float(value) for name, value in computed.items() if isinstance(value, Tensor) and value.numel() == 1}
