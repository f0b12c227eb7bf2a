"""Hears the forward of a step: activation functions and losses through the function mode, layers through hooks."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults.baselines import measure
from benchmarks.faults.baselines.calls import Listening, LossCall, in_transform
from benchmarks.faults.baselines.recording import TEN
from benchmarks.faults.baselines.seen import ActSeen, LayerSeen

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Embedding)
LAYERS = (*WEIGHTED, nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d)


class Ear:
    """Hears one forward after the other.

    Args:
        keeps_outputs: Whether the outputs of the last ten batches are kept, to be judged at each tenth step.

    Attributes:
        acts: Activation functions of this step.
        layers: Layers of this step.
        calls: Loss calls of this step.
        first: The first loss call of the run.
        is_deaf: Whether anything is compiled: hooks and modes would be compiled with it, so nothing is heard.
    """

    def __init__(self, *, keeps_outputs: bool) -> None:
        self.acts: list[ActSeen] = []
        self.layers: list[LayerSeen] = []
        self.calls: list[LossCall] = []
        self.first: LossCall | None = None
        self.is_deaf = False
        self._keeps_outputs = keeps_outputs
        self._mode = Listening(self._hear_act, self._hear_loss)
        self._is_on = self._hears_all = False
        self._step = 0
        self._count = Counter[str]()
        self._recent: dict[str, deque[Tensor]] = defaultdict(lambda: deque(maxlen=TEN))
        self._hooks: list[Any] = []

    def watch(self, modules: Mapping[str, nn.Module]) -> None:
        """Register hooks, unless anything is compiled."""
        self.is_deaf = any(isinstance(module, torch._dynamo.OptimizedModule) for module in modules.values())
        for name, module in modules.items():
            if isinstance(module, LAYERS) and not self.is_deaf:
                self._hooks.append(module.register_forward_hook(lambda _, __, output, name=name: self._hear_layer(name, output)))

    def begin(self, step: int, *, hears_all: bool) -> None:
        """Begin to hear a forward.

        Args:
            step: Its step.
            hears_all: Whether activation functions and layers are heard, not losses alone.
        """
        self.acts, self.layers, self.calls = [], [], []
        self._step, self._hears_all = step, hears_all
        self._mode.hears_acts = hears_all
        self._count.clear()
        if not self.is_deaf and not self._is_on:
            self._is_on = True
            self._mode.__enter__()

    def end(self) -> None:
        """Hear no more until the next beginning."""
        if self._is_on:
            self._is_on = False
            self._mode.__exit__(None, None, None)

    def close(self) -> None:
        """Take everything away."""
        self.end()
        for hook in self._hooks:
            hook.remove()

    def main_call(self) -> LossCall | None:
        """Return the first classification of this step, or else its first loss call."""
        return next((call for call in self.calls if call.is_classification), next(iter(self.calls), None))

    def _hear_act(self, kind: str, x: Tensor, y: Tensor) -> None:
        name = f"{kind}#{self._count[kind]}"
        self._count[kind] += 1
        if x.numel() and x.is_floating_point():
            self.acts.append(measure.activation(name, kind, x, y, self._kept(name, y) if self._keeps_outputs else ()))

    def _kept(self, name: str, y: Tensor) -> list[Tensor]:
        rows, kept = measure.units(y.detach().float()), self._recent[name]
        if kept and kept[-1].shape[1] != rows.shape[1]:
            kept.clear()
        kept.append(rows)
        return list(kept) if self._step % TEN == 0 and self._step >= TEN else []

    def _hear_loss(self, call: LossCall) -> None:
        self.calls.append(call)
        self.first = self.first or call

    def _hear_layer(self, name: str, output: object) -> None:
        if in_transform():
            return
        if self._hears_all and self._is_on and isinstance(output, Tensor) and output.is_floating_point() and output.numel():
            y = output.detach().float()
            self.layers.append(LayerSeen(name=name, mean=float(y.mean()), is_finite=bool(y.isfinite().all())))
