"""How much outputs differ from sample to sample, against their targets; on sampled steps, merged over ranks."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_nnguard.observation import OutputSpreadSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.outputs.rows import Rows

#: Loss calls of one step that are told apart; later ones are not looked at.
SLOTS = 4
#: Rows below which a batch says nothing about a spread.
MIN_ROWS = 8
#: Sampled steps whose ratios are kept.
_KEPT = 8
_WIDTH = 4


@dataclass(kw_only=True)
class _Slot:
    """One loss call of a step, in their order."""

    where: str = ""
    function: str = ""
    source: str | None = None
    ratios: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_KEPT))


class OutputSpread:
    """Spreads of the outputs of the first loss calls of a step.

    Args:
        device: Where the packed numbers live.
        in_warmup: Returns whether the learning rate is rising.
    """

    sizes = (SLOTS * _WIDTH, 0)

    def __init__(self, *, device: torch.device, in_warmup: Callable[[], bool]) -> None:
        self._device, self._in_warmup = device, in_warmup
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._squares: dict[int, Tensor] = {}

    def take(self, slot: int, rows: Rows, is_data: Tensor, *, where: str, function: str, source: str | None) -> None:
        """Take a loss call of training.

        Args:
            slot: Its number among the calls of its step.
            rows: Its rows.
            is_data: shape (), whether its targets are data.
            where: Its place.
            function: The loss function.
            source: The user's line.
        """
        own = self._slots[slot]
        own.where, own.function, own.source = where, function, source
        squares = spreads(rows)
        # The largest class of few rows may be the only one, and a critic's ones and zeros are no data.
        counts = is_data & (squares[2] >= MIN_ROWS) & (squares[1] > 0) & (squares.sum() < torch.inf)
        packed = torch.cat([squares, torch.ones_like(squares[:1])]).where(counts, 0.0)
        self._squares[slot] = packed.to(self._device, torch.float32)

    def pack(self) -> Tensor:
        """Return squares of both spreads, rows, and whether they count, for each slot; starts afresh."""
        empty = torch.zeros(_WIDTH, dtype=torch.float32, device=self._device)
        packed = torch.cat([self._squares.get(slot, empty) for slot in range(SLOTS)])
        self._squares = {}
        return packed

    def observe(self, sums: Numbers, at: At) -> Sequence[OutputSpreadSeen]:
        """Turn the merged numbers of one sampled step into observations."""
        seen = []
        for slot, (of_outputs, of_targets, num_rows, num) in zip(self._slots, sums.reshape(SLOTS, _WIDTH).tolist(), strict=True):
            if not num or not of_targets > 0 or not math.isfinite(of_outputs):
                continue
            slot.ratios.append((at.step, math.sqrt(of_outputs / of_targets)))
            ratios = sorted(ratio for _, ratio in slot.ratios)
            seen.append(
                OutputSpreadSeen(
                    where=slot.where, step=at.step, epoch=at.epoch, function=slot.function, source=slot.source,
                    ratio=slot.ratios[-1][1], ratio_median=ratios[len(ratios) // 2], ratio_max=ratios[-1],
                    num_samples=len(ratios), span=at.step - slot.ratios[0][0], num_rows=round(num_rows / num),
                    in_warmup=self._in_warmup(),
                )
            )  # fmt: skip
        return seen


def spreads(rows: Rows) -> Tensor:
    """Return the summed variances of outputs and of targets, and the number of rows that count: shape (3,).

    A target over classes stands for ones and zeros, whose variances add up to 1 less the squares of the classes' shares.
    """
    weight = rows.is_valid.float()
    num = weight.sum()
    if rows.targets.is_floating_point():
        of_targets = _variances(rows.targets, weight, num)
    else:
        counts = torch.zeros(rows.num_classes, dtype=torch.float32, device=weight.device)
        counts.scatter_add_(0, rows.targets, weight)
        of_targets = 1 - (counts / num).square().sum()
        of_targets = of_targets.where(of_targets > 1e-6, 0.0)  # one class alone, but for rounding
    return torch.stack([_variances(rows.outputs, weight, num), of_targets, num])


def _variances(values: Tensor, weight: Tensor, num: Tensor) -> Tensor:
    mean = (weight @ values) / num
    return (weight @ (values - mean).square()).sum() / num
