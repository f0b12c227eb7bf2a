"""What is measured of tensors that cannot be read."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lightning_nnguard.probe.audit import masks, metrics, weights
from lightning_nnguard.probe.audit.diagonal import measure_diagonal


def unreadable(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(*shape, dtype=dtype, device="meta")


@pytest.mark.parametrize(
    "measure",
    [
        lambda: metrics.measure("eq", (unreadable(4), unreadable(4)), {}, unreadable(4, dtype=torch.bool)),
        lambda: weights.measure((torch.tensor(1.0, requires_grad=True), unreadable(4)), {}, unreadable(4)),
        lambda: masks.measure_frames((unreadable(2, 3, 4),), {}, unreadable(2, 3, 4)),
        lambda: measure_diagonal(unreadable(4, 4), unreadable(4, dtype=torch.int64)),
    ],
    ids=["equality", "weights", "frames", "diagonal"],
)
def test_a_measure_that_raises_finds_nothing(measure):
    assert measure() is None
