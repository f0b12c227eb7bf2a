"""Collector of the size of Adam's steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from lightning_nnguard.observation import AdaptiveStepSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.optimization.host import HostCollector, StepSources
from lightning_nnguard.probe.window import StepWindow

#: Optimizers whose step is the learning rate times a number around one, whatever the size of the gradient.
_ADAPTIVE = frozenset({torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam})


class AdaptiveStepCollector(HostCollector):
    """RMS(update) / learning rate of the weight matrices that an optimizer of Adam's kind moves.

    Args:
        sources: What tells the norms of a step.
    """

    def __init__(self, sources: StepSources) -> None:
        super().__init__(sources.parameters.device)
        self._sources = sources
        self._windows: dict[int, StepWindow] = {}
        self._settings: dict[int, tuple[str, float, float]] = {}

    def before_step(self) -> None:
        """Keep rates and eps at which the optimizers are about to step."""
        if self._settings:
            return
        for optimizer in self._sources.optimizers():
            if type(optimizer) in _ADAPTIVE:
                for group in optimizer.param_groups:
                    rate, eps = group["lr"], group["eps"]
                    if isinstance(rate, int | float) and isinstance(eps, int | float) and rate > 0:
                        setting = type(optimizer).__name__, float(rate), float(eps)
                        self._settings |= {self._sources.parameters.index.get(id(each), -1): setting for each in group["params"]}

    def abandon(self) -> None:
        """Forget a batch that does not come to its end."""
        self._settings = {}

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return the sizes of the steps so far."""
        settings, self._settings = self._settings, {}
        rows = []
        for i, (kind, rate, eps) in settings.items():
            if i < 0 or not self._sources.parameters.is_matrix[i]:
                continue
            info = self._sources.parameters.infos[i]
            update, _ = self._sources.updates.norms.get(info.name, (0.0, 0.0))
            gradient = self._sources.gradients.norms.get(info.name)
            if not update or not gradient:  # skipped, or a part of the model that this batch did not use
                continue
            root = math.sqrt(info.shape.numel())
            window = self._windows.setdefault(i, StepWindow())
            window.add(at.step, update / root / rate)
            rows.append((kind, info.name, eps, window.median, gradient / root, window.span, len(window)))
        if not rows:
            return ()
        kinds, names, epsilons, sizes, gradients, spans, nums = zip(*rows, strict=True)
        return [
            AdaptiveStepSeen(
                step=at.step, epoch=at.epoch, kinds=kinds, parameters=names, eps=epsilons, sizes=sizes, gradient_rms=gradients,
                spans=spans, num_samples=nums,
            )
        ]  # fmt: skip
