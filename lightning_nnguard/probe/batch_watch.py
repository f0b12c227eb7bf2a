"""What looks at the batches themselves, in training and in evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from lightning_nnguard.observation import Seen, Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Collector


class BatchWatch(Collector, Protocol):
    """A collector that is offered every batch.

    It decides itself which ones it looks at. On a step that is not sampled it must not wait for the device, and beyond the first
    few hundred steps it must do nearly nothing. It keeps no batch.
    """

    def start_batch(self, batch: object, at: At, *, sampled: bool) -> None:
        """Take a batch of training."""

    def start_evaluation_batch(self, stage: Stage, batch: object, at: At, loader: int) -> None:
        """Take a batch of an evaluation; `at.batch_index` counts the batches of its loader, `loader` the loaders, from 0."""

    def end_evaluation(self, stage: Stage, at: At) -> object:
        """End an evaluation and return what this rank saw of it, small and picklable, for all ranks; None when nothing."""

    def read_evaluation(self, stage: Stage, at: At, parts: Sequence[Any]) -> Sequence[Seen]:
        """Return what an evaluation showed, from what the ranks saw of it, in their order; every rank reads the same."""
