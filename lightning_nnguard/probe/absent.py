"""Collector of trainable parameters that never get a gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_nnguard.observation import AbsentGradientSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.idle import IdleOptimizers
from lightning_nnguard.probe.owners import CALLED, NOT_CALLED, WITHOUT_GRAD, Owners
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import pack
from lightning_nnguard.stats.norms import local, square_sums

#: Parameters of an optimizer that tell whether a step has any gradients.
_NUM_LEADS = 4


@dataclass(kw_only=True, eq=False)
class _Held:
    """What one optimizer holds.

    Attributes:
        leads: Parameters that had a gradient on the latest sampled step.
        absent: Parameter that has had none -> `num_steps` before the first step that could have used one.
        num_steps: Steps on which some parameter had a gradient.
        last: The last step that counted.
        num_given: Parameters that need not be looked at any more, when these are all; else -1.
        was_live: Whether any parameter of it is known to have had a gradient.
        num_idle: Steps before that, while a parameter of another optimizer was known to have had one.
    """

    leads: list[Tensor] = field(default_factory=list)
    num_given: int = -1
    absent: dict[int, int] = field(default_factory=dict)
    num_steps: int = 0
    last: int = -1
    was_live: bool = False
    num_idle: int = 0


class AbsentCollector:
    """Counts the steps of optimizers on which a parameter of theirs has no gradient, until it gets its first one.

    All is known from `grad is None`, so an accelerator is not waited for. On a step that is not sampled only those parameters are
    looked at that have had no gradient yet: none, in most models.

    Args:
        model: The user's LightningModule.
        parameters: The model's parameters.
        optimizers: Returns the run's optimizers.
        cuts: Returns the lines at which parameters are cut off from the losses, by their names, as far as known.
    """

    def __init__(
        self, model: nn.Module, parameters: Parameters, *, optimizers: Callable[[], Sequence[Optimizer]],
        cuts: Callable[[], Mapping[str, Sequence[str]]],
    ) -> None:  # fmt: skip
        self._parameters = parameters
        self._owners = Owners(model, parameters)
        self._optimizers = IdleOptimizers(optimizers, cuts)
        self._open = list(range(len(parameters)))  # the same on all ranks: known from merged numbers
        self._held: dict[int, _Held] = {}
        self._given: set[int] = set()
        self._idle: dict[int, tuple[int, ...]] = {}
        self._counted: set[int] = set()  # the same on all ranks, too
        self._first_epoch: dict[tuple[int, bool], int] = {}
        self._first_square: dict[int, float] = {}
        self._moved: set[int] = set()
        self.has_absent = False

    # -- during a batch --------------------------------------------------------------------------------------------------------

    def start_batch(self) -> None:
        """Watch the modules whose parameters have had no gradient; on a sampled step."""
        self.detach()
        if self.has_absent:
            self._owners.watch(self._absent)

    def after_backward(self) -> None:
        """See which of the parameters without a gradient have got one; nothing to do when `has_absent` is not set."""
        for held in self._held.values():
            self._take_gradients(held)

    def before_step(self, optimizer: Optimizer, step: int, *, sampled: bool) -> None:
        """Count a step of an optimizer.

        Args:
            optimizer: The optimizer.
            step: This step, which counts once.
            sampled: Whether all parameters of the optimizer are to be looked at.
        """
        held = self._look(optimizer) if sampled else self._held.get(id(optimizer))
        if held is None or not held.absent:
            return
        if held.last != step and not held.was_live:
            held.last = step
            held.num_idle += 1
        elif held.last != step and any(each.grad is not None for each in held.leads):
            held.last = step
            held.num_steps += 1
        self._take_gradients(held)
        for index in [each for each in held.absent if not self._parameters.infos[each].tensor.requires_grad]:
            del held.absent[index]  # frozen

    def _look(self, optimizer: Optimizer) -> _Held:
        held = self._held.setdefault(id(optimizer), _Held())
        num = sum(len(group["params"]) for group in optimizer.param_groups)
        if held.num_given == num:
            return held
        held.leads, num_given = [], 0
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                index = self._parameters.index.get(id(parameter))
                if parameter.grad is not None:
                    if len(held.leads) < _NUM_LEADS:
                        held.leads.append(parameter)
                    if index is not None:
                        self._given.add(index)
                elif index is not None and index not in self._given and parameter.requires_grad:
                    held.absent.setdefault(index, held.num_steps)
                num_given += index is None or index in self._given
                held.was_live = held.was_live or parameter.grad is not None or index in self._given
        held.num_given = num_given if num_given == num else -1
        self.has_absent = any(each.absent for each in self._held.values())
        return held

    def _take_gradients(self, held: _Held) -> None:
        for index in list(held.absent):
            if index in self._given or self._parameters.infos[index].tensor.grad is not None:
                self._given.add(index)
                held.was_live = True
                del held.absent[index]

    def detach(self) -> None:
        """Remove the hooks; safe to call again."""
        self._owners.detach()

    def end_batch(self) -> None:
        """Take note of what was watched to the end."""
        self._owners.end_batch()

    # -- at the end of a sampled step ------------------------------------------------------------------------------------------

    @property
    def _absent(self) -> dict[int, int]:
        """Parameters without a gradient, with the steps so far of their optimizer; of several, of one that has had gradients."""
        table: dict[int, int] = {}
        for held in sorted(self._held.values(), key=lambda each: each.was_live):
            table |= {index: held.num_steps - start if held.was_live else held.num_idle for index, start in held.absent.items()}
        return table

    def _members(self) -> dict[int, tuple[int, ...]]:
        """Return the parameters of each optimizer that has had no gradient at all, less those that another one has, too."""
        alone = {index for held in self._held.values() if held.was_live for index in held.absent}
        members = {
            key: tuple(index for index in held.absent if index not in alone)
            for key, held in self._held.items()
            if not held.was_live
        }
        return {key: indices for key, indices in members.items() if indices}

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return len(self._open), 3 * len(self._open)

    @torch.no_grad()
    def pack(self) -> tuple[Tensor, Tensor]:
        """Return squared norms to be added; and which got a gradient, minus the steps without one, and who was called."""
        device, infos = self._parameters.device, self._parameters.infos
        if not self._open:
            return torch.zeros(0, dtype=torch.float32, device=device), torch.zeros(0, dtype=torch.float32, device=device)
        if not self._given:  # as long as nothing has a gradient at all, no optimizer is the odd one
            for held in self._held.values():
                held.num_idle = 0
        absent, self._idle = self._absent, self._members()
        places = [(place, index) for place, index in enumerate(self._open) if index in absent]
        squares = torch.zeros(len(self._open), dtype=torch.float32, device=device)
        if places:
            where = torch.tensor([place for place, _ in places], device=device)
            sizes = square_sums([local(infos[index].tensor.detach()) for _, index in places])
            squares[where] = sizes * self._parameters.weights[self._parameters.place([index for _, index in places])]
        given = [float(index in self._given) for index in self._open]
        steps = [-float(absent.get(index, 0)) for index in self._open]
        called = [self._owners.call(index) if index in absent else NOT_CALLED for index in self._open]
        return squares, pack([torch.tensor([given, steps, called], dtype=torch.float32)], torch.device("cpu")).to(device)

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers of one sampled step into observations."""
        if not self._open:
            return ()
        given, steps, called = maxima.reshape(3, len(self._open))
        self._given |= {index for index, has in zip(self._open, given, strict=True) if has > 0}
        live = {self._parameters.infos[index].twins for index in self._given} - {""}
        working = {self._owners.path(index) for index in self._given} if any(steps) else set()
        idle = {index for members in self._idle.values() for index in members}
        alone: list[AbsentGradientSeen] = []
        together: dict[int, AbsentGradientSeen] = {}
        for index, square, step, call in zip(self._open, sums, steps, called, strict=True):
            num_steps = 0 if index in self._given else -round(float(step))
            if num_steps:
                self._counted.add(index)
            elif index not in self._counted:
                continue
            is_idle = index in idle and num_steps > 0
            first = self._first_epoch.setdefault((index, is_idle), at.epoch) if num_steps else at.epoch
            if num_steps and square != self._first_square.setdefault(index, float(square)):
                self._moved.add(index)
            info, path = self._parameters.infos[index], self._owners.path(index)
            was_called = {NOT_CALLED: False, WITHOUT_GRAD: True, CALLED: True}.get(float(call)) if num_steps else None
            seen = AbsentGradientSeen(
                where=info.name, step=at.step, epoch=at.epoch, kind=info.kind, num_steps=num_steps,
                num_epochs=max(at.epoch - first - 1, 0) if num_steps else 0, module=path,
                was_called=was_called, is_switched_off=bool(num_steps) and call == WITHOUT_GRAD,
                was_moved=index in self._moved, has_live_twins=info.twins in live, has_live_siblings=path in working,
                is_installed=info.is_installed,
            )  # fmt: skip
            if is_idle:
                together[index] = seen
            else:
                alone.append(seen)
        self._open = [index for index in self._open if index not in self._given or index in self._counted]
        still = {key: members for key, members in self._idle.items() if self._given.isdisjoint(members)}
        known = {key: members if together.keys() >= set(members) else () for key, members in still.items()}
        groups = {key: [together[index] for index in members] for key, members in known.items()}
        return [*self._optimizers.observe(groups, at), *alone]
