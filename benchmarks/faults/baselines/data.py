"""Watches the data of the first epoch, and counts labels and right predictions by class."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from benchmarks.faults.baselines.calls import LossCall
from benchmarks.faults.baselines.measure import first_tensor
from benchmarks.faults.baselines.recording import DataSeen


class DataWatch:
    """Running sums over inputs and targets."""

    def __init__(self) -> None:
        self._inputs, self._targets = _Sums(), _Sums()
        self._channels: list[_Sums] = []
        self._labels = Counter[int]()
        self._shape: tuple[int, ...] = ()
        self._num_samples = self._num_zero = 0
        self._is_floating = True

    def take(self, batch: Any, call: LossCall | None) -> None:
        """Take one batch, and what its loss was called with."""
        x = first_tensor(batch)
        if x is not None and x.numel():
            self._shape, self._is_floating = tuple(x.shape), x.is_floating_point()
            self._num_samples += len(x) if x.dim() else 1
            self._num_zero += int((x == 0).sum())
            self._inputs.add(x)
            if x.dim() == 4 and x.is_floating_point():
                self._channels = self._channels or [_Sums() for _ in range(x.shape[1])]
                for i, sums in enumerate(self._channels[: x.shape[1]]):
                    sums.add(x[:, i])
        if call is not None and not call.is_classification:
            self._targets.add(call.target)
        self._labels.update(self.per_class(batch, call)[1])

    def per_class(self, batch: Any, call: LossCall | None) -> tuple[dict[int, int], dict[int, int]]:
        """Return right predictions and labels by class; nothing unless there is one label a sample."""
        x = first_tensor(batch)
        if call is None or call.classes is None or call.labels is None or x is None or not x.dim():
            return {}, {}
        if call.labels.dim() != 1 or len(call.labels) != len(x):
            return {}, {}
        hits = call.labels[call.classes == call.labels]
        return dict(Counter(hits.tolist())), dict(Counter(call.labels.tolist()))

    def seen(self) -> DataSeen:
        """Return what was seen."""
        inputs, targets = self._inputs, self._targets
        return DataSeen(
            low=inputs.low,
            high=inputs.high,
            mean=inputs.mean,
            std=inputs.std,
            channel_means=tuple(sums.mean for sums in self._channels),
            shape=self._shape,
            num_samples=self._num_samples,
            is_floating=self._is_floating,
            zero_share=self._num_zero / inputs.num if inputs.num else 0.0,
            has_nan=inputs.num_nan > 0,
            label_counts=dict(self._labels),
            target_mean=targets.mean,
            target_std=targets.std,
            target_low=targets.low,
            target_high=targets.high,
        )


class _Sums:
    """Count, sum, squares and extremes of all elements that are not NaN."""

    def __init__(self) -> None:
        self.num = self.num_nan = 0
        self._sum = self._squares = 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, x: Tensor) -> None:
        known = x.detach().double().flatten()
        known = known[~known.isnan()]
        self.num_nan += x.numel() - known.numel()
        if known.numel():
            self.num += known.numel()
            self._sum += float(known.sum())
            self._squares += float(torch.square(known).sum())
            self._low, self._high = min(self._low, float(known.min())), max(self._high, float(known.max()))

    @property
    def low(self) -> float:
        return self._low if self.num else math.nan

    @property
    def high(self) -> float:
        return self._high if self.num else math.nan

    @property
    def mean(self) -> float:
        return self._sum / self.num if self.num else math.nan

    @property
    def std(self) -> float:
        return math.sqrt(max(self._squares / self.num - self.mean**2, 0.0)) if self.num else math.nan
