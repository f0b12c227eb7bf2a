"""A moment of a training run."""

from __future__ import annotations

from typing import NamedTuple


class At(NamedTuple):
    """A moment of a training run.

    Attributes:
        step: Optimizer steps (batches that stepped) before this batch.
        epoch: Epoch.
        batch_index: Index of the batch in its epoch.
    """

    step: int
    epoch: int
    batch_index: int
