"""Collector of trainable parameters that never get a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from lightning_nnguard.observation import AbsentGradientSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.compiled import compiled_modules
from lightning_nnguard.probe.fastpath import fused_layers
from lightning_nnguard.probe.modules import Hook, Watched
from lightning_nnguard.probe.names import clean_name
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import pack
from lightning_nnguard.stats.norms import local, square_sums

#: Parameters of an optimizer that tell whether a step has any gradients.
_NUM_LEADS = 4
#: Lines that cut an optimizer's parameters off which are told at most.
MAX_CUTS = 2
#: What is known of the calls of a module; the largest of all ranks counts.
_NOT_CALLED, _UNKNOWN, _WITHOUT_GRAD, _CALLED = 0.0, 1.0, 2.0, 3.0


@dataclass(kw_only=True, eq=False)
class _Held:
    """What one optimizer holds.

    Attributes:
        leads: Parameters that had a gradient on the latest sampled step.
        absent: Parameter that has had none -> `num_steps` before the first step that could have used one.
        num_steps: Steps on which some parameter had a gradient.
        last: The last of those.
        num_given: Parameters that need not be looked at any more, when these are all; else -1.
        members: Trainable parameters of the model that it held when it was looked at last.
        was_live: Whether any parameter of it had had a gradient when it was looked at last.
        num_idle: Steps before that.
    """

    leads: list[Tensor] = field(default_factory=list)
    num_given: int = -1
    absent: dict[int, int] = field(default_factory=dict)
    num_steps: int = 0
    last: int = -1
    members: tuple[int, ...] = ()
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

    seconds = 0.0
    is_on = True

    def __init__(
        self, model: nn.Module, parameters: Parameters, *, optimizers: Callable[[], Sequence[Optimizer]],
        cuts: Callable[[], Mapping[str, Sequence[str]]],
    ) -> None:  # fmt: skip
        self._model, self._parameters = model, parameters
        self._optimizers, self._cuts = optimizers, cuts
        self._idle: set[int] = set()
        self._open = list(range(len(parameters)))  # the same on all ranks: known from merged numbers
        self._held: dict[int, _Held] = {}
        self._given: set[int] = set()
        self._owners: dict[int, tuple[nn.Module, str]] | None = None
        self._handles: list[RemovableHandle] = []
        self._hooked: set[int] = set()
        self._called: set[int] = set()
        self._without_grad: set[int] = set()
        self._looked: set[int] = set()
        self._first_epoch: dict[int, int] = {}
        self._first_square: dict[int, float] = {}
        self._moved: set[int] = set()
        self.has_absent = False

    # -- during a batch --------------------------------------------------------------------------------------------------------

    def start_batch(self) -> None:
        """Watch the modules whose parameters have had no gradient; on a sampled step."""
        self.detach()
        if not self.has_absent:
            return
        # A hook inside of a fused layer would turn off its fast path.
        hidden = compiled_modules(self._model) | {id(part) for layer in fused_layers(self._model) for part in layer.modules()}
        for owner, path in {id(each[0]): each for each in map(self._owner, self._absent)}.values():
            if owner is not self._model and id(owner) not in hidden and not isinstance(owner, torch.jit.ScriptModule):
                watched = Watched(module=owner, name=path, kind="", is_rectifier=False, is_weighted=False)
                self._handles.append(owner.register_forward_hook(Hook(self, watched)))
                self._hooked.add(id(owner))

    def on_output(self, watched: Watched, output: object) -> None:
        """Take the call of a watched module; where gradients were switched off, what it returns has none."""
        leaves = [output] if isinstance(output, Tensor) else tree_leaves(output)
        with_grad = any(isinstance(each, Tensor) and each.requires_grad for each in leaves)
        (self._called if with_grad else self._without_grad).add(id(watched.module))

    def failed(self, error: Exception) -> None:
        """Take an exception of the hook: nothing depends on it."""

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
        held.leads, num_given, members = [], 0, []
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
                if index is not None and parameter.requires_grad:
                    members.append(index)
        held.members = tuple(members)
        held.num_given = num_given if num_given == num else -1
        self.has_absent = any(each.absent for each in self._held.values())
        return held

    def _take_gradients(self, held: _Held) -> None:
        for index in list(held.absent):
            if index in self._given or self._parameters.infos[index].tensor.grad is not None:
                self._given.add(index)
                del held.absent[index]

    def detach(self) -> None:
        """Remove the hooks; safe to call again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._hooked.clear()

    def end_batch(self) -> None:
        """Take note of what was watched to the end."""
        self._looked |= self._hooked
        self.detach()

    # -- at the end of a sampled step ------------------------------------------------------------------------------------------

    @property
    def _absent(self) -> dict[int, int]:
        """Parameters without a gradient, with the steps of their optimizer so far."""
        table: dict[int, int] = {}
        for held in self._held.values():
            table |= {index: held.num_steps - start if held.was_live else held.num_idle for index, start in held.absent.items()}
        return table

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
        absent = self._absent
        places = [(place, index) for place, index in enumerate(self._open) if index in absent]
        squares = torch.zeros(len(self._open), dtype=torch.float32, device=device)
        if places:
            where = torch.tensor([place for place, _ in places], device=device)
            sizes = square_sums([local(infos[index].tensor.detach()) for _, index in places])
            squares[where] = sizes * self._parameters.weights[self._parameters.place([index for _, index in places])]
        given = [float(index in self._given) for index in self._open]
        steps = [-float(absent.get(index, 0)) for index in self._open]
        called = [self._call(index) if index in absent else _NOT_CALLED for index in self._open]
        return squares, pack([torch.tensor([given, steps, called], dtype=torch.float32)], torch.device("cpu")).to(device)

    def _call(self, index: int) -> float:
        owner = id(self._owner(index)[0])
        if owner in self._called:
            return _CALLED
        return _WITHOUT_GRAD if owner in self._without_grad else _NOT_CALLED if owner in self._looked else _UNKNOWN

    def _owner(self, index: int) -> tuple[nn.Module, str]:
        if self._owners is None:
            self._owners = {
                id(parameter): (module, clean_name(path))
                for path, module in self._model.named_modules()
                for parameter in module.parameters(recurse=False)
            }
        return self._owners.get(id(self._parameters.infos[index].tensor), (self._model, ""))

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers of one sampled step into observations."""
        if not self._open:
            return ()
        given, steps, called = maxima.reshape(3, len(self._open))
        self._given |= {index for index, has in zip(self._open, given, strict=True) if has > 0}
        live = {self._parameters.infos[index].twins for index in self._given} - {""}
        working = {self._owner(index)[1] for index in self._given} if any(steps) else set()
        seen: dict[int, AbsentGradientSeen] = {}
        for index, square, step, call in zip(self._open, sums, steps, called, strict=True):
            num_steps = 0 if index in self._given else -round(float(step))
            if not num_steps and index not in self._first_epoch:
                continue
            info, first = self._parameters.infos[index], self._first_epoch.setdefault(index, at.epoch)
            if num_steps and square != self._first_square.setdefault(index, float(square)):
                self._moved.add(index)
            path = self._owner(index)[1]
            was_called = {_NOT_CALLED: False, _WITHOUT_GRAD: True, _CALLED: True}.get(float(call)) if num_steps else None
            seen[index] = AbsentGradientSeen(
                where=info.name, step=at.step, epoch=at.epoch, kind=info.kind, num_steps=num_steps,
                num_epochs=max(at.epoch - first - 1, 0) if num_steps else 0, module=path,
                was_called=was_called, is_switched_off=bool(num_steps) and call == _WITHOUT_GRAD,
                was_moved=index in self._moved, has_live_twins=info.twins in live, has_live_siblings=path in working,
                is_installed=info.is_installed,
            )  # fmt: skip
        self._open = [index for index in self._open if index not in self._given or index in self._first_epoch]
        return [*self._of_idle(seen, at), *seen.values()]

    def _of_idle(self, seen: dict[int, AbsentGradientSeen], at: At) -> Iterator[AbsentGradientSeen]:
        """Take the parameters of optimizers none of whose parameters has had a gradient out of what was seen; tell them as one."""
        for slot, optimizer in enumerate(self._optimizers()):
            held, where = self._held.get(id(optimizer)), f"optimizers[{slot}]"
            # As long as nothing has a gradient at all, no optimizer is the odd one.
            if held is not None and held.members and self._given.isdisjoint(held.members) and self._given and not held.was_live:
                members = [seen.pop(index) for index in held.members if index in seen]
                if members and len(members) == len(held.members):
                    self._idle.add(slot)
                    yield joined(members, where=where, optimizer=type(optimizer).__name__, cuts=self._cuts())
            elif slot in self._idle:
                self._idle.remove(slot)
                yield AbsentGradientSeen(
                    where=where, step=at.step, epoch=at.epoch, kind="weight", num_steps=0, optimizer=type(optimizer).__name__
                )  # fmt: skip


def joined(
    members: Sequence[AbsentGradientSeen], *, where: str, optimizer: str, cuts: Mapping[str, Sequence[str]]
) -> AbsentGradientSeen:
    """Return what was seen of the parameters of one optimizer, none of which has had a gradient, as one.

    Args:
        members: What was seen of each.
        where: Its place, such as "optimizers[0]".
        optimizer: Its class.
        cuts: The lines at which parameters are cut off from the losses, by their names.
    """
    called = {each.was_called for each in members}
    lines = dict.fromkeys(line for each in members for line in cuts.get(each.where, ()))
    return replace(
        members[0], where=where, num_steps=min(each.num_steps for each in members),
        num_epochs=min(each.num_epochs for each in members), module=_common(each.module for each in members),
        was_called=True if True in called else None if None in called else False,
        is_switched_off=all(each.is_switched_off for each in members), was_moved=any(each.was_moved for each in members),
        has_live_twins=False, has_live_siblings=False, is_installed=all(each.is_installed for each in members),
        optimizer=optimizer, num_parameters=len(members), cuts=tuple(lines)[:MAX_CUTS],
    )  # fmt: skip


def _common(paths: Iterable[str]) -> str:
    """Return the path of the innermost module that holds all modules of some paths; "" for the LightningModule itself."""
    parts = [path.split(".") for path in paths]
    return ".".join(ones[0] for ones in takewhile(lambda ones: len(set(ones)) == 1, zip(*parts, strict=False)))
