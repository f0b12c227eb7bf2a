"""Loose tensors: plain tensors among a module's attributes, neither parameters nor buffers, that a forward uses as weights."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_nnguard.observation import UnregisteredParameterSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import CONVOLUTIONS, PASSING, ancestors, chain
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.strangers import PRIVATE, optimized_by
from lightning_nnguard.probe.names import clean_name

Met = Mapping[int, tuple[weakref.ref[Tensor], Value]]
#: Functions whose second operand is a weight when it is none of the data.
_PRODUCTS = CONVOLUTIONS | {"linear", "matmul", "mm", "bmm", "einsum"}
#: Who takes a tensor to another device or type in the forward knows that it is no buffer.
_CARRYING = frozenset({"to", "type", "type_as", "float", "double", "half", "bfloat16", "cpu", "cuda"})
#: Sampled steps on which a tensor must have kept its values: it may be moved by hand.
_NUM_LOOKS = 3
_MAX_SAMPLE = 64
_MAX_DEPTH = 4
_MAX_CHILDREN = 256
#: Values in containers that are looked at in one walk, over all modules.
_MAX_VALUES = 10_000


@dataclass(kw_only=True, eq=False)
class _Loose:
    """A loose tensor, and on how many sampled steps it has kept the values that a sample was taken of."""

    name: str
    ref: weakref.ref[Tensor]
    seen: UnregisteredParameterSeen
    sample: Tensor
    num_looks: int = 0


class LooseTensors:
    """The loose tensors of a model.

    Args:
        model: The model.
        optimized: Returns the ids of the parameters that some optimizer holds.
    """

    def __init__(self, model: nn.Module, optimized: Callable[[], Collection[int]]) -> None:
        self._model, self._optimized = model, optimized
        self._known: dict[str, _Loose | None] = {}

    def meet(self, record: Record, met: Met) -> None:
        """Take the tensors that an audited training batch has used as weights.

        Args:
            record: The record of the batch.
            met: Tensors that were there before it and are neither the model's nor the batch's, by their id.
        """
        users = self._users(record)
        found = [(ref(), value) for ref, value in met.values() if value in users]
        names = {id(tensor): name for name, tensor in loose_tensors(self._model)} if found else {}
        for tensor, value in found:
            name = names.get(id(tensor))
            if tensor is None or name is None or name in self._known:
                continue
            with torch.no_grad():
                sample = tensor.detach().reshape(-1)[:_MAX_SAMPLE].clone()
            seen = UnregisteredParameterSeen(
                where=name, step=record.at.step, epoch=record.at.epoch, source=users[value].source, num_parameters=1,
                num_values=tensor.numel(), owner="", manual=record.manual, is_tensor=True, requires_grad=value.requires_grad,
            )  # fmt: skip
            self._known[name] = _Loose(name=name, ref=weakref.ref(tensor), seen=seen, sample=sample)

    @staticmethod
    def _users(record: Record) -> Mapping[Value, Call]:
        """Return the values that are the second operand of a product on the way to a loss, with the first such call."""
        reached = {call.number for loss in record.losses for call in ancestors(loss)}
        users: dict[Value, Call] = {}
        for call in record.calls:
            if call.function in _PRODUCTS and len(call.inputs) > 1 and call.number in reached:
                values = chain(call.inputs[1], PASSING if call.inputs[1].requires_grad else PASSING - _CARRYING)
                users.setdefault(values[-1], call)
        return users

    def confirm(self) -> Sequence[UnregisteredParameterSeen]:
        """Return those that have kept their values since they were met; to be asked on each sampled step."""
        waiting = [each for each in self._known.values() if each is not None]
        if not waiting:
            return []
        held, there = {*self._optimized(), *optimized_by(self._model)}, {id(tensor) for _, tensor in loose_tensors(self._model)}
        told = []
        for each in waiting:
            tensor = each.ref()
            if tensor is None or id(tensor) not in there or id(tensor) in held or not _is_same(tensor, each.sample):
                self._known[each.name] = None
                continue
            each.num_looks += 1
            if each.num_looks >= _NUM_LOOKS:
                self._known[each.name] = None
                told.append(replace(each.seen, num_unchanged=each.num_looks))
        return told


@torch.no_grad()
def _is_same(tensor: Tensor, sample: Tensor) -> bool:
    values = tensor.detach().reshape(-1)[:_MAX_SAMPLE]
    return values.device == sample.device and torch.equal(values, sample)


def loose_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Iterate over the plain tensors that modules of a model keep as attributes, in lists and dictionaries too, by their path."""
    room = [_MAX_VALUES]
    for path, module in model.named_modules():
        if type(module).__module__.startswith("torch."):
            continue
        for attribute, value in vars(module).items():
            if attribute not in PRIVATE and not isinstance(value, nn.Module | Optimizer):
                yield from _tensors(value, f"{clean_name(path)}.{attribute}".lstrip("."), _MAX_DEPTH, room)


def _tensors(value: object, path: str, depth: int, room: list[int]) -> Iterator[tuple[str, Tensor]]:
    """Iterate over the plain tensors in a value, by their path.

    Args:
        value: Any value.
        path: Its path.
        depth: Levels of containers that are still looked into.
        room: How many values in containers may still be looked at; it is counted down.
    """
    if isinstance(value, Tensor):
        if not isinstance(value, nn.Parameter):
            yield path, value
    elif depth and isinstance(value, list | tuple | dict):
        items: Iterable[tuple[object, object]] = value.items() if isinstance(value, dict) else enumerate(value)
        for key, child in islice(items, _MAX_CHILDREN):
            if room[0] <= 0:
                return
            room[0] -= 1
            yield from _tensors(child, f"{path}[{key!r}]", depth - 1, room)
