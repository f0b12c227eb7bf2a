"""Collector of the training loss: every step's, read late."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_nnguard.observation import LossSeen, NonFiniteSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.chance import NAMES, ChanceLevel
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.ranks import Ranks, pack
from lightning_nnguard.probe.window import StepWindow

_RECENT = 128
_DECAY = 0.95
_SKIP = 5
#: Largest standard error of a chance level that is known, as a share of it.
_MAX_ERROR = 0.1


class LossHistory:
    """What is remembered of a series of losses, one value a step."""

    def __init__(self) -> None:
        self.num_steps = 0
        self.first = self.smoothed = self.peak = math.nan
        self.smoothed_min = math.inf
        self.smoothed_min_step = self.peak_step = 0
        self.recent: deque[float] = deque(maxlen=_RECENT)
        self.smoothed_recent: deque[float] = deque(maxlen=_RECENT)
        self._average = 0.0

    def add(self, step: int, loss: float) -> None:
        """Add the loss of one step; it must be finite."""
        self.num_steps = num_steps = self.num_steps + 1
        self._average = average = _DECAY * self._average + (1 - _DECAY) * loss
        self.smoothed = smoothed = average / (1 - _DECAY**num_steps)
        if num_steps > _SKIP:
            if loss > self.peak or num_steps == _SKIP + 1:
                self.peak, self.peak_step = loss, step
            if smoothed < self.smoothed_min:
                self.smoothed_min, self.smoothed_min_step = smoothed, step
        elif num_steps == 1:
            self.first, self.peak, self.peak_step = loss, loss, step
        self.recent.append(loss)
        self.smoothed_recent.append(smoothed)

    def seen(
        self, at: At, *, steps_per_epoch: int | None, chance: float | None, chance_error: float, fresh: float | None, name: str,
        in_warmup: bool, is_objective: bool,
    ) -> LossSeen:  # fmt: skip
        """Return the history as an observation."""
        has_min = math.isfinite(self.smoothed_min)
        return LossSeen(
            step=at.step, epoch=at.epoch, num_steps=self.num_steps, steps_per_epoch=steps_per_epoch, first=self.first,
            recent=tuple(self.recent), smoothed=self.smoothed, smoothed_recent=tuple(self.smoothed_recent),
            smoothed_min=self.smoothed_min if has_min else self.smoothed,
            smoothed_min_step=self.smoothed_min_step if has_min else at.step, peak=self.peak, peak_step=self.peak_step,
            chance=chance, chance_error=chance_error, fresh=fresh, loss_name=name, in_warmup=in_warmup, is_objective=is_objective,
        )  # fmt: skip


class LossCollector:
    """Keeps each step's loss on its device and reads them all on the next sampled step.

    Args:
        ranks: The processes that train together.
        device: Where the losses are.
        num_slots: Steps that fit between two sampled ones, on several ranks; the same on all of them.
    """

    def __init__(self, *, ranks: Ranks, device: torch.device, num_slots: int) -> None:
        self._ranks = ranks
        self._device = device
        self._num_slots = num_slots
        self._steps_per_epoch: int | None = None
        self._fresh: float | None = None
        self._name = ""
        self._losses: list[Tensor] = []
        self._steps: list[At] = []
        self._read_steps: list[At] = []
        self._newest: Tensor | None = None
        self.history = LossHistory()
        self.chance = ChanceLevel()
        self.level: float | None = None
        self.rough_level: float | None = None
        self.is_objective = True
        self._rates = StepWindow()

    @property
    def in_warmup(self) -> bool:
        """Whether the learning rate rose over the latest sampled steps."""
        return self._rates.rose

    def note_rate(self, rate: float, step: int) -> None:
        """Take the largest learning rate of a sampled step."""
        self._rates.add(step, rate)

    def push(self, loss: Tensor, at: At) -> None:
        """Keep the loss of one batch; no copy, no wait.

        Args:
            loss: shape (), detached.
            at: Its moment. Micro-batches of one step have the same step; the last one counts.
        """
        self._newest = loss
        if self._steps and self._steps[-1][0] == at.step:
            self._losses[-1] = loss
            self._steps[-1] = at
            return
        self._losses.append(loss)
        self._steps.append(at)

    def know(self, steps_per_epoch: int | None) -> None:
        """Take the number of optimizer steps in an epoch."""
        self._steps_per_epoch = steps_per_epoch

    def resize(self, num_slots: int) -> None:
        """Change the number of slots when the cadence changes, on all ranks at once."""
        self._num_slots = max(num_slots, self._num_slots)

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        slots = self._num_slots if self._ranks.world_size > 1 else len(self._losses)
        return 2 * slots + 6, slots

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return sums and maxima of the losses since the last sampled step; see `Collector`."""
        slots = self._num_slots if self._ranks.world_size > 1 else len(self._losses)
        losses = self._losses[-slots:] if slots else []
        self._read_steps = self._steps[-slots:] if slots else []
        if losses:
            values = torch.stack(losses).float().to(self._device)
            finite = values.abs() < torch.inf
            table = torch.stack([values.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0), finite, ~finite * self._ranks.code])
            table = F.pad(table, (0, slots - len(losses))) if len(losses) < slots else table
        else:
            table = torch.zeros(3, slots, dtype=torch.float32, device=self._device)
        chance = self.chance.settle(self._newest).to(self._device)
        self._losses, self._steps, self._newest = [], [], None
        return pack([table[:2], chance], self._device), table[2]

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged losses into observations: the loss so far, and the first loss that was not finite."""
        slots = len(maxima)
        totals, counts = sums[: 2 * slots].reshape(2, slots)
        means, is_known, codes = (totals / np.maximum(counts, 1)).tolist(), (counts > 0).tolist(), maxima.tolist()
        level, known, name, error, fresh, is_fresh = sums[2 * slots :]
        if is_fresh == self._ranks.world_size and not at.step:  # a run that goes on has a network that knows something
            self._fresh = float(fresh / is_fresh)
        if self._ranks.world_size in (known, is_fresh):
            self._name = NAMES[round(float(name / self._ranks.world_size))]
        seen: list[Seen] = []
        for slot, (step, epoch, batch_index) in enumerate(self._read_steps):
            if codes[slot] > 0 and not seen:
                seen.append(
                    NonFiniteSeen(
                        step=step,
                        epoch=epoch,
                        rank=self._ranks.decode(codes[slot]),
                        quantity="loss",
                        batch_index=batch_index,
                        loss_finite=False,
                    )
                )
            elif is_known[slot]:
                self.history.add(step, means[slot])
        if self.history.num_steps and any(is_known):
            whole = known == self._ranks.world_size
            self.rough_level = float(level / known) if whole else None
            self.level = self.rough_level if error <= _MAX_ERROR * level else None
            seen.append(
                self.history.seen(
                    at,
                    steps_per_epoch=self._steps_per_epoch,
                    chance=self.level,
                    fresh=self._fresh,
                    chance_error=float(error / known) if self.level is not None else 0.0,
                    name=self._name,
                    in_warmup=self.in_warmup,
                    is_objective=self.is_objective,
                )
            )
        return seen
