"""Collector of the order in which gradients are made, used and cleared."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_nnguard.observation import ClearingSeen, NoStepSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.parameters import Parameters, learning_rates
from lightning_nnguard.probe.ranks import pack
from lightning_nnguard.stats.norms import local, square_sums

#: Optimizers that are watched, the same number on all ranks.
_MAX_OPTIMIZERS = 8
#: Steps in a row that did not see cleared gradients before their values are looked at, and steps on which they are.
_IN_A_ROW = 3
#: How often values are looked at again, when gradients were cleared after all: a validation in between clears them, too.
_MAX_ATTEMPTS = 5
#: Sampled steps on which the values of gradients are compared before and at the step: the order of calls is the same in all steps.
_MAX_COMPARED = 8
#: Parameters, and elements of each, that show whether weights move without a step that is seen.
_NUM_SAMPLES, _SAMPLE = 16, 1024


@dataclass(kw_only=True, eq=False)
class _Flow:
    """What has happened to the gradients of one optimizer since its last step.

    Attributes:
        slot: Its place among the optimizers.
        witnesses: Parameters of it that get gradients: the first, one in the middle, the last.
        num_backwards: Backward passes.
        was_clear: Whether the gradients were gone before one of them.
        was_filled: Whether they were there after the last one; None when nobody looked, as in automatic optimisation on most steps.
        filled: Smallest norm of the witnesses' gradients after the last one; only while values are compared.
        low: Smallest norm before any of them; only while values are looked at.
        held: The gradients that had it.
        has_stepped: Whether the optimizer has stepped.
        num_unclear: Consecutive steps without cleared gradients before.
        num_emptied: See `ClearingSeen`.
        zeroed: See `ClearingSeen`, on the device.
        leftovers: Whether gradients were left over, for each step on which values were looked at, on the device.
        num_attempts: How often values have begun to be looked at.
        is_settled: Whether it is known, one way or the other.
        num_clearings: See `NoStepSeen`.
    """

    slot: int
    witnesses: tuple[Tensor, ...]
    num_backwards: int = 0
    was_clear: bool = False
    was_filled: bool | None = True
    filled: Tensor | None = None
    low: Tensor | None = None
    held: tuple[weakref.ref[Tensor], ...] = ()
    has_stepped: bool = False
    num_unclear: int = 0
    num_emptied: int = 0
    zeroed: Tensor | None = None
    leftovers: list[Tensor] = field(default_factory=list)
    num_attempts: int = 0
    is_settled: bool = False
    num_clearings: int = 0

    def smallest(self) -> Tensor:
        """Return the smallest norm of the witnesses' gradients; all of them must be there."""
        return square_sums([local(each.grad.detach()) for each in self.witnesses if each.grad is not None]).amin()

    @property
    def is_empty(self) -> bool:
        """Whether a witness has no gradient."""
        for each in self.witnesses:  # noqa: SIM110 - runs at every step, and a generator takes twice the time
            if each.grad is None:
                return True
        return False

    @property
    def is_usual(self) -> bool:
        """Whether there is nothing to tell."""
        return not self.num_emptied and len(self.leftovers) < _IN_A_ROW and self.zeroed is None

    def before_backward(self) -> None:
        """Look at what is there before new gradients come."""
        self.num_backwards += 1
        if self.is_empty:
            self.num_clearings += self.was_filled is not False and self.num_backwards > 1
            self.was_clear, self.was_filled = True, None
        elif self.num_unclear >= _IN_A_ROW and not self.is_settled and not self.was_clear:
            size = self.smallest()
            self.low = size if self.low is None else torch.minimum(self.low, size)
            self.held = tuple(weakref.ref(each.grad) for each in self.witnesses if each.grad is not None)

    def before_step(self, is_empty: bool) -> None:
        """Judge the gradients that the optimizer is about to use.

        Args:
            is_empty: Whether none of its parameters has a gradient.
        """
        if not is_empty or self.was_filled is False:
            self.num_emptied = 0
        elif self.was_filled:
            self.num_emptied += 1
        if not self.has_stepped or self.is_settled:
            return
        if self.was_clear or is_empty:
            self.num_unclear = 0
            self.num_attempts += bool(self.leftovers)
            self.leftovers = []
            self.is_settled = self.num_attempts == _MAX_ATTEMPTS
        elif self.low is not None:
            added = all(ref() is each.grad for ref, each in zip(self.held, self.witnesses, strict=True))
            self.leftovers.append((self.low > 0) & added)  # a gradient that was assigned has nothing left over
            self.is_settled = len(self.leftovers) == _IN_A_ROW
        else:
            self.num_unclear += 1

    def after_step(self) -> None:
        """Begin anew."""
        self.has_stepped = True
        self.num_backwards, self.was_clear, self.was_filled = 0, False, None
        self.filled = self.low = None
        self.held = ()


class FlowCollector:
    """Watches the order of backward pass, clearing and step, at every step and mostly from `grad is None`.

    The clearing of gradients sets them to None, which is known without waiting for an accelerator. Where it sets them to zero, or
    does not happen, their values are looked at on a few steps.

    Args:
        parameters: The model's parameters.
        optimizers: Returns the run's optimizers.
    """

    def __init__(self, parameters: Parameters, optimizers: Callable[[], Sequence[Optimizer]]) -> None:
        self._parameters, self._optimizers = parameters, optimizers
        self._flows: dict[int, _Flow] = {}
        self._num_compared = 0
        self.num_backwards = 0
        self._has_stepped = False
        self._num_idle = 0
        self._latest = At(step=-1, epoch=-1, batch_index=-1)
        self._first_epoch = 0
        self._samples: list[tuple[Tensor, Tensor]] | None = None
        self._told: set[int] = set()
        self._told_idle = False
        self._nothing = torch.zeros(self.sizes[1], dtype=torch.float32, device=parameters.device)

    # -- during a batch --------------------------------------------------------------------------------------------------------

    def before_backward(self, at: At) -> None:
        """Take the moment before a backward pass."""
        self.num_backwards += 1
        for flow in self._flows.values():
            flow.before_backward()
        if not self._has_stepped:
            self._idle(at)

    def _idle(self, at: At) -> None:
        """Count the batches until the first step."""
        if self._samples is None:
            self._samples = [(each, _sample(each).clone()) for each in self._some_trained()]
            self._first_epoch = at.epoch
        self._num_idle += at != self._latest
        self._latest = at

    def after_backward(self, *, sampled: bool) -> None:
        """Take the moment after a backward pass."""
        for flow in self._flows.values():
            flow.was_filled = not flow.is_empty
        if not sampled:
            return
        if len(self._flows) < _MAX_OPTIMIZERS:
            self._choose_witnesses()
        if self._num_compared < _MAX_COMPARED:
            for flow in self._flows.values():
                flow.filled = None if flow.is_empty else flow.smallest()

    def _choose_witnesses(self) -> None:
        for slot, optimizer in enumerate(self._optimizers()[:_MAX_OPTIMIZERS]):
            if id(optimizer) in self._flows:
                continue
            own = [each for group in optimizer.param_groups for each in group["params"] if each.requires_grad]
            filled = [each for each in own if each.grad is not None and not each.grad.is_sparse]
            if filled:
                chosen = {id(each): each for each in (filled[0], filled[len(filled) // 2], filled[-1])}
                self._flows[id(optimizer)] = _Flow(slot=slot, witnesses=tuple(chosen.values()), num_backwards=1)

    def before_step(self, optimizer: Optimizer, *, sampled: bool) -> None:
        """Take the moment before an optimizer uses its gradients."""
        self._has_stepped, self._samples = True, None
        flow = self._flows.get(id(optimizer))
        if flow is None or not flow.num_backwards:
            return  # a second look at the same step
        is_empty = flow.is_empty
        if is_empty:
            is_empty = all(each.grad is None for group in optimizer.param_groups for each in group["params"])
        elif sampled and flow.filled is not None:
            self._compare(flow, optimizer)
        flow.before_step(is_empty)
        flow.after_step()

    def _compare(self, flow: _Flow, optimizer: Optimizer) -> None:
        """Note whether gradients that were not zero after the backward pass all are at the step."""
        used = [each.grad for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
        if flow.filled is None or any(each.is_sparse for each in used):
            return
        total = square_sums([local(each.detach()) for each in used]).sum()
        before = flow.zeroed if flow.zeroed is not None else torch.zeros_like(total)
        flow.zeroed = (before + 1) * ((flow.filled > 0) & (total == 0))

    def end_batch(self) -> None:
        """Take the end of a sampled batch."""
        self._num_compared += 1

    def _some_trained(self) -> list[Tensor]:
        """Return some of the trainable parameters that optimizers hold, spread over the model."""
        held = learning_rates(self._optimizers())
        trained = [each for each in self._parameters.infos if each.tensor.requires_grad and id(each.tensor) in held]
        # Rows of an embedding may stay untouched.
        chosen = [each.tensor for each in trained if each.kind != "embedding"] or [each.tensor for each in trained]
        return chosen[:: max(len(chosen) // _NUM_SAMPLES, 1)]

    # -- at the end of a sampled step ------------------------------------------------------------------------------------------

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 3 * _MAX_OPTIMIZERS + 3

    @torch.no_grad()
    def pack(self) -> tuple[Tensor, Tensor]:
        """Return numbers of which the smallest of all ranks counts, so they are negative; and whether weights have moved."""
        device = self._parameters.device
        if self._has_stepped and all(each.is_usual for each in self._flows.values()):
            return self._nothing[:0], self._nothing
        emptied = [0.0] * _MAX_OPTIMIZERS
        on_device = torch.zeros(2, _MAX_OPTIMIZERS, dtype=torch.float32, device=device)
        for flow in self._flows.values():
            emptied[flow.slot] = -float(flow.num_emptied)
            if len(flow.leftovers) == _IN_A_ROW:
                on_device[0, flow.slot] = -_IN_A_ROW * torch.stack(flow.leftovers).all().to(device)
            if flow.zeroed is not None:
                on_device[1, flow.slot] = -flow.zeroed
        idle = [0.0, 0.0]
        moved = torch.zeros(1, dtype=torch.float32, device=device)
        if not self._has_stepped and self._num_idle:
            idle = [-float(self._num_idle), -float(max((each.num_clearings for each in self._flows.values()), default=0))]
            changed = [(_sample(each) != copy).any().to(device) for each, copy in self._samples or ()]
            moved = torch.stack(changed).any().float().reshape(1) if changed else torch.ones_like(moved)
        host = torch.tensor([*emptied, *idle], dtype=torch.float32)
        return torch.zeros(0, dtype=torch.float32, device=device), pack([on_device, host.to(device), moved], device)

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers of one sampled step into observations."""
        leftover, zeroed, emptied = (-maxima[: 3 * _MAX_OPTIMIZERS]).reshape(3, _MAX_OPTIMIZERS)
        idle, clearings, moved = -maxima[-3], -maxima[-2], maxima[-1]
        if self._num_compared >= _MAX_COMPARED:
            for flow in self._flows.values():
                flow.zeroed = flow.zeroed if zeroed[flow.slot] >= _IN_A_ROW else None
        seen: list[Seen] = []
        for slot, optimizer in enumerate(self._optimizers()[:_MAX_OPTIMIZERS]):
            numbers = [round(float(each[slot])) for each in (leftover, emptied, zeroed)]
            if any(numbers) or slot in self._told:
                self._told.add(slot)
                seen.append(
                    ClearingSeen(
                        where=f"optimizers[{slot}]", step=at.step, epoch=at.epoch, optimizer=type(optimizer).__name__,
                        num_leftover=numbers[0], num_emptied=numbers[1], num_zeroed=numbers[2],
                    )
                )  # fmt: skip
        if idle > 0 or self._told_idle:
            self._told_idle = True
            whole = max(at.epoch - self._first_epoch, 0) if idle > 0 else 0
            seen.append(
                NoStepSeen(
                    step=at.step, epoch=at.epoch, num_batches=round(float(idle)), num_clearings=round(float(clearings)),
                    num_epochs=whole, has_moved=bool(moved > 0),
                )
            )  # fmt: skip
        return seen


def _sample(tensor: Tensor) -> Tensor:
    return local(tensor.detach()).reshape(-1)[:_SAMPLE]
