"""Collector of what weight decay does to the weight matrices."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from lightning_nnguard.observation import DecaySeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.optimization.host import HostCollector, StepSources
from lightning_nnguard.probe.window import StepWindow

#: Steps over which the norm of the weights is followed.
_STEPS = 200
#: Classes of torch.optim whose weight decay is added to the gradient, and those that take it from the weights themselves.
_COUPLED = frozenset({
    torch.optim.SGD, torch.optim.Adam, torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adamax, torch.optim.RMSprop,
    torch.optim.Adagrad,
})  # fmt: skip
_DECOUPLED = frozenset({torch.optim.AdamW})


class History:
    """What is remembered of one optimizer."""

    def __init__(self) -> None:
        self.pulls = StepWindow()
        self.norms: deque[tuple[int, float]] = deque()
        self.names: frozenset[str] = frozenset()

    def add_norm(self, step: int, norm: float, names: frozenset[str]) -> None:
        """Add the norm of these weights; it is compared only with that of the same ones."""
        if names != self.names:
            self.norms.clear()
            self.names = names
        self.norms.append((step, norm))
        while step - self.norms[0][0] > _STEPS:
            self.norms.popleft()


class DecayCollector(HostCollector):
    """Weight decay against gradients, and how fast weights shrink.

    Args:
        sources: What tells the norms of a step.
    """

    def __init__(self, sources: StepSources) -> None:
        super().__init__(sources.parameters.device)
        self._sources = sources
        self._histories: dict[int, History] = {}
        self._rates: dict[int, list[float | None]] = {}

    def before_step(self) -> None:
        """Keep the rates at which the optimizers are about to step; schedulers change them before the batch ends."""
        if not self._rates:
            for i, optimizer in enumerate(self._sources.optimizers()):
                self._rates[i] = [_number(group.get("lr")) for group in optimizer.param_groups]

    def abandon(self) -> None:
        """Forget a batch that does not come to its end."""
        self._rates = {}

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return what decay does under each optimizer that has some."""
        rates, self._rates = self._rates, {}
        if not self._sources.updates.norms:
            return ()
        seen: list[Seen] = []
        for index, optimizer in enumerate(self._sources.optimizers()):
            groups = [
                (group, rate)
                for group, rate in zip(optimizer.param_groups, rates.get(index, ()), strict=False)
                if rate is not None and (_number(group.get("weight_decay")) or 0.0) > 0
            ]
            if groups and type(optimizer) in _COUPLED | _DECOUPLED:
                seen += self._of(index, optimizer, groups, at)
        return seen

    def _of(self, index: int, optimizer: Optimizer, groups: Sequence[tuple[Mapping[str, Any], float]], at: At) -> Sequence[Seen]:
        history = self._histories.setdefault(index, History())
        weights = gradients = pulls = 0.0
        names = []
        for group, _ in groups:
            for tensor in group["params"]:
                i = self._sources.parameters.index.get(id(tensor))
                if i is None or not self._sources.parameters.is_matrix[i]:
                    continue
                name = self._sources.parameters.infos[i].name
                _, weight = self._sources.updates.norms.get(name, (0.0, None))
                gradient = self._sources.gradients.norms.get(name)
                if weight is None or not gradient:
                    continue
                names.append(name)
                weights += weight**2
                pulls += (float(group["weight_decay"]) * weight) ** 2
                gradients += gradient**2
        if not names or gradients <= 0:
            return ()
        is_coupled = not _is_decoupled(optimizer)
        if is_coupled:
            history.pulls.add(at.step, math.sqrt(pulls / gradients))
        history.add_norm(at.step, math.sqrt(weights), frozenset(names))
        first_step, first = history.norms[0]
        shrinkages = [_shrinkage(optimizer, group, rate) for group, rate in groups]
        known = [each for each in shrinkages if each is not None]
        return [
            DecaySeen(
                where=f"optimizers[{index}]", step=at.step, epoch=at.epoch, kind=type(optimizer).__name__,
                decay=max(float(group["weight_decay"]) for group, _ in groups), rate=max(rate for _, rate in groups),
                shrinkage=max(known) if known else None, pull=history.pulls.median if is_coupled else None,
                norm_ratio=math.sqrt(weights) / first if first > 0 else 1.0, norm_span=at.step - first_step,
                span=history.pulls.span, num_samples=len(history.pulls),
            )
        ]  # fmt: skip


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _is_decoupled(optimizer: Optimizer) -> bool:
    return type(optimizer) in _DECOUPLED or any(group.get("decoupled_weight_decay") for group in optimizer.param_groups)


def _shrinkage(optimizer: Optimizer, group: Mapping[str, Any], rate: float) -> float | None:
    """Return the share of a weight that decay alone takes with a step; None where that depends on the gradient."""
    share = rate * float(group["weight_decay"])
    if _is_decoupled(optimizer):
        return share
    if type(optimizer) is torch.optim.SGD:
        momentum = _number(group.get("momentum")) or 0.0
        return share / (1 - momentum) if momentum < 1 else share
    return None
