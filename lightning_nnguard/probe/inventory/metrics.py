"""Metric objects of torchmetrics: which loop updates them, and what they still hold when an evaluation begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from lightning_nnguard.observation import MetricSeen, Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.names import module_names


def metrics_of(model: nn.Module) -> list[Any]:
    """Return the metric objects in a model. torchmetrics need not be installed for that."""
    return [
        module
        for module in model.modules()
        if any(base.__module__ == "torchmetrics.metric" and base.__name__ == "Metric" for base in type(module).__mro__)
    ]


class MetricWatch:
    """Counts the updates of metrics over one training batch, and from the start to the end of an evaluation.

    Args:
        model: The user's LightningModule.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._before: dict[int, int] = {}
        self._carried: dict[int, int] = {}
        self._trained: set[int] = set()
        self._evaluated: set[int] = set()
        self._only_updated: set[int] = set()

    def _counts(self) -> dict[int, int]:
        return {id(each): getattr(each, "_update_count", 0) for each in metrics_of(self._model)}

    def start_training_batch(self) -> None:
        """Begin a training batch."""
        self._before = self._counts()

    def end_training_batch(self) -> None:
        """End it: what has risen is updated in training."""
        self._trained |= {metric for metric, count in self._counts().items() if count > self._before.get(metric, count)}

    def start_evaluation_batch(self, *, is_first: bool) -> None:
        """Begin the first batch of a loader.

        Args:
            is_first: Whether it is the first batch of the evaluation.
        """
        self._before = self._counts()
        if is_first:
            self._carried = self._before
            self._evaluated, self._only_updated = set(), set()

    def end_evaluation_batch(self) -> None:
        """End it: what has risen is updated in the evaluation."""
        for each in metrics_of(self._model):
            if getattr(each, "_update_count", 0) > self._before.get(id(each), 0):
                self._evaluated.add(id(each))
                if getattr(each, "_forward_cache", None) is None:  # `forward` returns, and keeps, the value of the batch
                    self._only_updated.add(id(each))

    def end_evaluation(self, stage: Stage, at: At) -> Sequence[MetricSeen]:
        """Return what the evaluation did to the metrics that it has updated; they have been computed, but not reset yet."""
        names = module_names(self._model)
        return [
            MetricSeen(
                where=names[id(each)], step=at.step, epoch=at.epoch, stage=stage, kind=type(each).__name__,
                num_carried=self._carried.get(id(each), 0), in_training=id(each) in self._trained,
                is_read=id(each) in self._only_updated or getattr(each, "_computed", None) is not None,
                mixes_on_purpose="real" in getattr(getattr(each, "_update_signature", None), "parameters", ()),
            )
            for each in metrics_of(self._model)
            if id(each) in self._evaluated
        ]  # fmt: skip
