"""Collector of optimizers that never step while others do, though their parameters receive gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_nnguard.observation import NoStepSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import pack
from lightning_nnguard.stats.norms import local, square_sums

#: Optimizers that are watched, the same number on all ranks.
_MAX_OPTIMIZERS = 8
#: Parameters, and elements of each, that show whether weights move without a step that is seen.
_NUM_SAMPLES, _SAMPLE = 16, 1024
#: Names of parameters that are told.
_MAX_NAMES = 2


@dataclass(kw_only=True, eq=False)
class _Waiting:
    """An optimizer that has not stepped.

    Attributes:
        witnesses: Parameters of it that have had a gradient: the first, one in the middle, the last.
        samples: Some of its parameters, and what they were when the watch began.
        first_epoch: The first epoch that is watched as a whole.
        num_batches: Batches with a backward pass, since the gradients are there and between two of which another one has stepped.
        num_clearings: Batches among them that began without gradients.
        live: Whether the gradients of this sampled batch are not zero, on the device; None when there are none.
    """

    witnesses: tuple[Tensor, ...]
    samples: list[tuple[Tensor, Tensor]]
    first_epoch: int
    num_batches: int = 0
    num_clearings: int = 0
    live: Tensor | None = None

    def take_gradients(self) -> None:
        """Look whether its gradients are there and not zero; nothing waits for the device."""
        gradients = [each.grad for each in self.witnesses if each.grad is not None and not each.grad.is_sparse]
        if gradients:
            live = (square_sums([local(each.detach()) for each in gradients]) > 0).any()
            self.live = live if self.live is None else self.live | live


class LeftOutCollector:
    """Counts batches on which an optimizer of several has gradients and does not step, while others step.

    Where its weights move all the same, someone else steps it in a way that is not seen. Nothing is looked at with one optimizer.

    Args:
        parameters: The model's parameters.
        optimizers: Returns the run's optimizers.
    """

    def __init__(self, parameters: Parameters, optimizers: Callable[[], Sequence[Optimizer]]) -> None:
        self._parameters, self._optimizers = parameters, optimizers
        self._waiting: dict[int, _Waiting] = {}
        self._settled: set[int] = set()
        self._stepped: set[int] = set()
        self._told: set[int] = set()
        self._has_other_stepped = False
        self._latest = At(step=-1, epoch=-1, batch_index=-1)
        self._nothing = torch.zeros(self.sizes[1], dtype=torch.float32, device=parameters.device)

    # -- during a batch --------------------------------------------------------------------------------------------------------

    def start_batch(self) -> None:
        """Begin a sampled batch."""
        for waiting in self._waiting.values():
            waiting.live = None

    def before_backward(self, at: At) -> None:
        """Take the moment before a backward pass."""
        if not self._waiting or at == self._latest:
            self._latest = at
            return
        self._latest = at
        if self._has_other_stepped:
            self._has_other_stepped = False
            for waiting in self._waiting.values():
                waiting.num_batches += 1
                waiting.num_clearings += waiting.witnesses[0].grad is None

    def after_backward(self) -> None:
        """Take the moment after a backward pass of a sampled batch."""
        optimizers = self._optimizers()
        if len(optimizers) < 2:
            return
        for slot, optimizer in enumerate(optimizers[:_MAX_OPTIMIZERS]):
            if slot not in self._waiting and slot not in self._settled and id(optimizer) not in self._stepped:
                self._begin(slot, optimizer, optimizers)
        for waiting in self._waiting.values():
            waiting.take_gradients()

    def _begin(self, slot: int, optimizer: Optimizer, optimizers: Sequence[Optimizer]) -> None:
        own = _held(optimizer)
        filled = [each for each in own if each.grad is not None and not each.grad.is_sparse]
        if not filled:
            return
        others = {id(each) for other in optimizers if other is not optimizer for each in _held(other)}
        if any(id(each) in others for each in own):
            self._settled.add(slot)  # another one may step for it
            return
        chosen = {id(each): each for each in (filled[0], filled[len(filled) // 2], filled[-1])}
        self._waiting[slot] = _Waiting(
            witnesses=tuple(chosen.values()),
            samples=[(each, _sample(each).clone()) for each in own[:: max(len(own) // _NUM_SAMPLES, 1)]],
            first_epoch=self._latest.epoch + (self._latest.batch_index > 0),
        )

    def before_step(self, optimizer: Optimizer) -> None:
        """Take the moment before an optimizer steps."""
        self._stepped.add(id(optimizer))
        self._has_other_stepped = True

    # -- at the end of a sampled step ------------------------------------------------------------------------------------------

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 5 * _MAX_OPTIMIZERS

    @torch.no_grad()
    def pack(self) -> tuple[Tensor, Tensor]:
        """Return minus the batches, clearings and epochs, of which the smallest of all ranks counts; who is idle; who has moved."""
        for slot, optimizer in enumerate(self._optimizers()[:_MAX_OPTIMIZERS]):
            if id(optimizer) in self._stepped:
                self._waiting.pop(slot, None)
        if not self._waiting:
            return self._nothing[:0], self._nothing
        device = self._parameters.device
        numbers = torch.zeros(3, _MAX_OPTIMIZERS)
        flags = torch.zeros(2, _MAX_OPTIMIZERS, device=device)
        for slot, waiting in self._waiting.items():
            num_epochs = max(self._latest.epoch - waiting.first_epoch, 0)
            numbers[:, slot] = -torch.tensor([waiting.num_batches, waiting.num_clearings, num_epochs])
            flags[0, slot] = 1.0 if waiting.live is None else (~waiting.live).float().to(device)
            flags[1, slot] = torch.stack([(_sample(each) != copy).any().to(device) for each, copy in waiting.samples]).any()
        return self._nothing[:0], pack([numbers.to(device), flags], device)

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers of one sampled step into observations."""
        batches, clearings, epochs, dead, moved = maxima.reshape(5, _MAX_OPTIMIZERS)
        seen: list[Seen] = []
        for slot, optimizer in enumerate(self._optimizers()[:_MAX_OPTIMIZERS]):
            waiting = self._waiting.get(slot)
            if moved[slot] > 0:
                self._waiting.pop(slot, None)
                self._settled.add(slot)
            elif dead[slot] > 0 and waiting is not None:
                waiting.num_batches = waiting.num_clearings = 0
                waiting.first_epoch = at.epoch + 1
            num = round(-float(batches[slot])) if moved[slot] <= 0 and dead[slot] <= 0 else 0
            if num > 0 and waiting is not None:
                self._told.add(slot)
                found = self._seen(slot, optimizer, at)
                seen.append(replace(found, num_batches=num, num_clearings=-round(clearings[slot]), num_epochs=-round(epochs[slot])))
            elif slot in self._told:
                name = type(optimizer).__name__
                seen.append(NoStepSeen(where=f"optimizers[{slot}]", step=at.step, epoch=at.epoch, num_batches=0, optimizer=name))
        return seen

    def _seen(self, slot: int, optimizer: Optimizer, at: At) -> NoStepSeen:
        infos, index = self._parameters.infos, self._parameters.index
        names = [infos[index[id(each)]].name for each in _held(optimizer) if id(each) in index]
        return NoStepSeen(
            where=f"optimizers[{slot}]", step=at.step, epoch=at.epoch, num_batches=0, optimizer=type(optimizer).__name__,
            parameters=tuple(names[:_MAX_NAMES]), num_parameters=len(names),
        )  # fmt: skip


def _held(optimizer: Optimizer) -> list[Tensor]:
    return [each for group in optimizer.param_groups for each in group["params"]]


def _sample(tensor: Tensor) -> Tensor:
    return local(tensor.detach()).reshape(-1)[:_SAMPLE]
