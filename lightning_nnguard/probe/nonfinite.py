"""Watch for non-finite inputs, losses and gradients: what went bad first, with the batch that did it kept on disk."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_nnguard.observation import NonFiniteSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.batches import float_tensors_in
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.late import LateReader
from lightning_nnguard.probe.origin import find_origin, is_finite
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks

Save = Callable[["BatchKept"], str]


class BatchKept(NamedTuple):
    """A batch as it went into the training step.

    Attributes:
        batch: The batch itself.
        at: Its moment.
        rng: CPU random state at its start, shape (bytes,), uint8.
    """

    batch: object
    at: At
    rng: Tensor


class NonFiniteWatch:
    """Finds the first non-finite value of a run and where it came from.

    On the CPU (or with `immediate`) the loss is looked at before the backward pass and one gradient before the optimizer step, so
    that the weights are still good when the fault is found. On an accelerator both are read late, when the device has got there.

    Args:
        model: The user's LightningModule.
        parameters: Its parameters.
        ranks: The processes that train together.
        immediate: Whether values are read at once, which waits for an accelerator.
        save: Writes a batch to disk and returns the file's name ("" when it could not).
        context: Gives the precision context of a training step.

    Attributes:
        told_step: Step at which loss or gradients first went bad, once all ranks know of it; None before.
    """

    def __init__(
        self, model: nn.Module, parameters: Parameters, *, ranks: Ranks, immediate: bool, save: Save,
        context: Callable[[], AbstractContextManager[object]],
    ) -> None:  # fmt: skip
        self._model = model
        self._parameters = parameters
        self._ranks = ranks
        self._immediate = immediate
        self._save = save
        self._context = context
        self._kept: deque[BatchKept] = deque(maxlen=1 if immediate else 3)
        self._late = None if immediate else LateReader(parameters.device)
        self._events: list[NonFiniteSeen] = []
        self._input_sum: Tensor | None = None
        self._found_inputs: list[NonFiniteSeen] = []
        self._is_done = False
        self._loss_finite: bool | None = None
        self.told_step: int | None = None
        self._sentinel: Tensor | None = None

    def start_batch(self, batch: object, at: At, *, sampled: bool) -> None:
        """Keep a batch until its step is known to be good; on sampled steps look at its numbers."""
        self._input_sum = self._loss_finite = None
        if self._is_done:
            return
        self._kept.append(BatchKept(batch, at, torch.get_rng_state()))
        if sampled:
            tensors = [tensor.detach() for _, tensor in float_tensors_in(batch) if tensor.device == self._parameters.device]
            if tensors:  # NaN and Inf stay in a sum; so does an overflow, which `_bad_inputs` tells apart
                sums = [tensor.sum(dtype=torch.float32) for tensor in tensors]
                self._input_sum = sums[0] if len(sums) == 1 else torch.stack(sums).sum()
        if self._late is not None:
            for number, late_at in self._late.ready():
                if not self._is_done and not math.isfinite(number):
                    self._investigate(late_at)

    def check_loss(self, loss: Tensor) -> None:
        """Look at the loss of the batch before its backward pass."""
        if self._is_done or not self._kept:
            return
        at = self._kept[-1].at
        if self._late is not None:
            self._late.push(loss.detach(), at)
        elif not math.isfinite(loss.item() if loss.numel() == 1 else loss.detach().sum().item()):
            self._investigate(at)
        else:
            self._loss_finite = True

    def check_gradients(self) -> None:
        """Look at the gradient of the model's first parameter: what goes bad anywhere behind it comes through there."""
        if self._is_done or not self._immediate or not self._kept:
            return
        first = self._first_gradient()
        if first is not None and not math.isfinite(first.sum().item()):
            bad = [info for info in self._parameters.infos if info.tensor.grad is not None and not is_finite(info.tensor.grad)]
            if bad:
                self._found_gradient(bad[-1].name, len(bad), self._kept[-1])

    def _first_gradient(self) -> Tensor | None:
        """Return the smallest gradient of the model's first module that has any; its bias, as a rule."""
        if self._sentinel is None:
            trained = [info for info in self._parameters.infos if info.tensor.grad is not None]
            module = trained[0].name.rpartition(".")[0] if trained else ""
            first = [info.tensor for info in trained if info.name.rpartition(".")[0] == module]
            self._sentinel = min(first, key=lambda each: each.numel(), default=None)
        gradient = None if self._sentinel is None else self._sentinel.grad
        return None if gradient is None or gradient.is_sparse or hasattr(gradient, "placements") else gradient

    def _found_gradient(self, where: str, num_bad: int, kept: BatchKept, origin: str = "") -> None:
        self._is_done = True
        self._events.append(
            NonFiniteSeen(
                where=where,
                step=kept.at.step,
                epoch=kept.at.epoch,
                rank=self._rank,
                quantity="gradient",
                num_bad=num_bad,
                loss_finite=True,
                batch_index=kept.at.batch_index,
                saved=self._save(kept),
                origin=origin,
            )
        )

    def _investigate(self, at: At) -> None:
        """Say where the non-finite loss of a batch came from: input, weights, a call in the forward, or not known."""
        self._is_done = True
        kept = next((each for each in self._kept if each.at == at), None)
        event = NonFiniteSeen(
            step=at.step, epoch=at.epoch, rank=self._rank, quantity="loss", loss_finite=False, batch_index=at.batch_index,
            saved=self._save(kept) if kept is not None else "",
        )  # fmt: skip
        inputs = self._bad_inputs(kept, loss_finite=False) if kept is not None else []
        if inputs:
            origin = f"{inputs[0].where} held non-finite values"
            self._events += [replace(each, saved=event.saved) for each in inputs]
        elif self._immediate and (bad := [info for info in self._parameters.infos if not is_finite(info.tensor)]):
            origin = f"weights were non-finite before this batch, {bad[-1].name} among them: the step before broke them"
            gradient = replace(event, quantity="gradient", where=bad[-1].name, num_bad=len(bad), loss_finite=True, origin=origin)
            self._events.append(gradient)
        elif self._immediate and kept is not None:
            found = None
            with suppress(Exception):  # a module that cannot be copied
                found = find_origin(self._model, kept.batch, at.batch_index, rng=kept.rng, context=self._context())
            origin = str(found) if found else ""
            if found is not None and found.where not in {"", type(self._model).__name__}:  # not the training step itself
                self._events.append(replace(event, quantity="activation", where=found.where, origin=origin))
        else:
            origin = "read late, after the weights were overwritten: sync=True names the module"
        self._events.append(replace(event, origin=origin))

    @property
    def _rank(self) -> int | None:
        return self._ranks.rank if self._ranks.world_size > 1 else None

    def _bad_inputs(self, kept: BatchKept, *, loss_finite: bool | None) -> list[NonFiniteSeen]:
        found = []
        for path, tensor in float_tensors_in(kept.batch):
            if is_finite(tensor):
                continue
            bad = ~torch.isfinite(tensor)
            place = [int(i) for i in bad.nonzero()[0]]
            found.append(
                NonFiniteSeen(
                    where=path,
                    step=kept.at.step,
                    epoch=kept.at.epoch,
                    rank=self._rank,
                    quantity="input",
                    num_bad=int(bad.sum()),
                    loss_finite=loss_finite,
                    batch_index=kept.at.batch_index,
                    sample=place[0] if len(place) > 1 else None,
                    feature=str(tuple(place[1:] if len(place) > 1 else place)),
                )
            )
        return found

    @property
    def has_found(self) -> bool:
        """Whether there is something for `take`."""
        return bool(self._events) and self._ranks.world_size == 1

    def take(self) -> Sequence[NonFiniteSeen]:
        """Return what was found, on a single process; on several, `observe` tells it, when all ranks listen."""
        if self._ranks.world_size > 1:
            return ()
        events, self._events = self._events, []
        return self._remember(events)

    def finish(self) -> Sequence[Seen]:
        """Return what was found since the last sampled step; training has ended, and every rank calls this."""
        for number, at in self._late.rest() if self._late is not None and not self._is_done else ():
            if not self._is_done and not math.isfinite(number):
                self._investigate(at)
        return self._told()

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 2

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return the maxima of this sampled step: whether this rank has something to tell; see `Collector`."""
        device = self._parameters.device
        told = torch.full((), self._ranks.code if self._events else 0.0, dtype=torch.float32, device=device)
        none = torch.zeros(0, dtype=torch.float32, device=device)
        if self._input_sum is None:
            return none, torch.stack([told, torch.zeros_like(told)])
        return none, torch.stack([told, ~(self._input_sum.abs() < torch.inf) * self._ranks.code])

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Tell what any rank has found, in words, to all ranks alike."""
        if maxima[0] <= 0 and maxima[1] <= 0:
            return ()
        kept = next((each for each in self._kept if each.at == at), None)
        if maxima[1] > 0 and not self._events and kept is not None:
            with suppress(Exception):  # the other ranks wait for this one's words
                self._events += self._bad_inputs(kept, loss_finite=self._loss_finite)
        return self._told()

    def _told(self) -> Sequence[Seen]:
        """Return what all ranks have found of the first step that went bad."""
        events, self._events = self._events, []
        everyone = [event for part in self._ranks.gather(events) for event in part]
        first = min((event.step for event in everyone), default=0)
        return self._remember([event for event in everyone if event.step == first])

    def _remember(self, events: list[NonFiniteSeen]) -> list[NonFiniteSeen]:
        steps = [event.step for event in events if event.quantity != "input"]
        if steps and self.told_step is None:
            self.told_step = min(steps)
        return events
