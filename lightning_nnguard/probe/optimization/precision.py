"""Collector of half-precision parameters that updates do not reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_nnguard.observation import PrecisionSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.histograms import spread
from lightning_nnguard.probe.parameters import Parameters, learning_rates
from lightning_nnguard.probe.ranks import pack
from lightning_nnguard.stats.norms import local

#: Parameters that are watched, and elements of each.
_MAX_PARAMETERS, _SAMPLE = 16, 1024
#: A window holds at least so many sampled steps and spans at least so many steps.
_MIN_SAMPLES, _MIN_SPAN = 5, 50
_HALF = {torch.bfloat16: "bfloat16", torch.float16: "float16"}


@dataclass(kw_only=True)
class _Window:
    """A sample of one parameter since the window began: values then, and whether each had a gradient on all sampled steps since."""

    first_step: int
    values: Tensor
    has_gradient: Tensor


class PrecisionCollector:
    """Compares a sample of each parameter with what it was fifty steps before, and does not care how the optimizer got there.

    Single steps prove nothing: an optimizer may carry along what a step has lost in rounding.

    Args:
        optimizers: Returns the run's optimizers.
        parameters: The model's parameters.
    """

    def __init__(self, optimizers: Callable[[], Sequence[Optimizer]], parameters: Parameters) -> None:
        self._optimizers, self._parameters = optimizers, parameters
        half = [i for i, info in enumerate(parameters.infos) if info.tensor.dtype in _HALF]
        self._chosen = [half[i] for i in spread(len(half), _MAX_PARAMETERS)]
        self._nothing = torch.zeros(0, dtype=torch.float32, device=parameters.device)
        self._windows: dict[int, _Window] = {}
        self._counts: dict[int, Tensor] = {}
        self._first_step, self._num_samples = -1, 0
        self._rates: dict[int, float] = {}
        self._largest_rate = 0.0

    @torch.no_grad()
    def before_step(self, optimizer: Optimizer, step: int) -> None:
        """Look at the parameters of an optimizer before it moves them; their gradients are there."""
        own = {id(each) for group in optimizer.param_groups for each in group["params"]} if self._chosen else set()
        for i in self._chosen:
            tensor = self._parameters.infos[i].tensor
            if id(tensor) not in own or tensor.grad is None or tensor.grad.is_sparse:
                continue
            values, gradient = _sample(tensor.detach()), _sample(tensor.grad.detach())
            if not values.numel():
                continue
            window = self._windows.get(i)
            if window is None:
                self._windows[i] = _Window(first_step=step, values=values.clone(), has_gradient=gradient != 0)
                continue
            window.has_gradient &= gradient != 0
            if step - window.first_step < _MIN_SPAN:
                continue
            same = window.has_gradient & (values == window.values)
            self._counts[i] = torch.stack([window.has_gradient.sum(), same.sum()]).float() * self._parameters.weights[i]

    def end_batch(self) -> None:
        """Keep the smallest rates of the window, and the largest of all; asked here, so that every rank knows them."""
        if self._chosen:
            rates = learning_rates(self._optimizers())
            now = {i: rates.get(id(self._parameters.infos[i].tensor), 0.0) for i in self._chosen}
            self._rates = {i: min(rate, self._rates.get(i, rate)) for i, rate in now.items()}
            self._largest_rate = max(self._largest_rate, *now.values())

    def abandon(self) -> None:
        """Forget a batch that does not come to its end."""
        self._counts = {}

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 2 * len(self._chosen), 0

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return for each parameter how many elements are compared, and how many are unchanged."""
        zero = torch.zeros(2, dtype=torch.float32, device=self._parameters.device)
        counts, self._counts = self._counts, {}
        return pack([counts.get(i, zero) for i in self._chosen], self._parameters.device), self._nothing

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return what has not moved since the window began, when that is long enough ago; then another window begins."""
        if not self._chosen:
            return ()
        if self._first_step < 0:
            self._first_step, self._num_samples = at.step, 0
        self._num_samples += 1
        span = at.step - self._first_step
        if self._num_samples < _MIN_SAMPLES or span < _MIN_SPAN:
            return ()
        infos = self._parameters.infos
        seen = [
            PrecisionSeen(
                where=infos[i].name, step=at.step, epoch=at.epoch, dtype=_HALF[infos[i].tensor.dtype], num_values=round(num),
                num_unchanged=round(same), span=span, num_samples=self._num_samples, rate=self._rates.get(i, 0.0),
                largest_rate=self._largest_rate,
            )
            for i, (num, same) in zip(self._chosen, sums.reshape(-1, 2).tolist(), strict=True)
            if num > 0
        ]  # fmt: skip
        self._windows, self._first_step, self._rates = {}, -1, {}
        return seen


def _sample(tensor: Tensor) -> Tensor:
    flat = local(tensor).reshape(-1)
    return flat[:: max(flat.numel() // _SAMPLE, 1)][:_SAMPLE]
