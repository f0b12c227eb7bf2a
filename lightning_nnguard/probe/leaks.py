"""Collector of graphs that a module keeps: tensors with a `grad_fn` in its attributes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Reversible, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from lightning_nnguard.observation import HeldGraphsSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.names import clean_name
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.rare import RareCollector

#: Values that are looked at on one sampled step, over all modules.
_MAX_VALUES = 1000
#: Values of one container that are looked at, at either end of it; they speak for the others.
_ENDS = 32
_MAX_DEPTH = 2
#: Nodes that are followed from one tensor: a sum of losses grows by a node or two a step.
_MAX_NODES = 2000
#: Growth that is worth a word between ranks.
_MIN_GROWTH = 100
_SUMS = ("AddBackward", "SubBackward", "MulBackward", "DivBackward", "LerpBackward")
#: Attributes of every module: its parameters, children and hooks, and Lightning's own.
_OWN = frozenset(vars(nn.Module())) | {"_trainer", "_fabric", "_hparams", "_hparams_initial", "_metric_attributes"}


@dataclass(kw_only=True)
class _Growth:
    """How many graphs one attribute holds, since it last held fewer than before."""

    first: int
    step: int
    epoch: int
    num_backwards: int
    now: int


class LeakCollector(RareCollector):
    """Counts the graphs in the attributes of the user's modules, on sampled steps, by samples of their containers.

    Args:
        model: The user's LightningModule.
        ranks: The processes that train together.
        device: Where the packed numbers live.
    """

    def __init__(self, model: nn.Module, *, ranks: Ranks, device: torch.device) -> None:
        super().__init__(ranks=ranks, device=device)
        self._model = model
        self._epoch = -1
        self._modules: list[tuple[str, nn.Module]] = []
        self._growths: dict[str, _Growth] = {}
        self._num_backwards = 0
        self._told: set[str] = set()

    def end_batch(self, at: At, num_backwards: int) -> None:
        """Count; on a sampled step.

        Args:
            at: This step.
            num_backwards: Backward passes of the run so far.
        """
        if at.epoch != self._epoch:
            self._epoch = at.epoch
            self._modules = [(clean_name(name), each) for name, each in self._model.named_modules() if _is_users(each)]
        self._num_backwards = num_backwards
        for where, num in _held(self._modules):
            known = self._growths.get(where)
            if known is None or num < known.now:
                self._growths[where] = _Growth(first=num, step=at.step, epoch=at.epoch, num_backwards=num_backwards, now=num)
            else:
                known.now = num
        self._told |= {where for where, each in self._growths.items() if each.now - each.first >= _MIN_GROWTH}

    @property
    def has_words(self) -> bool:
        """Whether anything has grown."""
        return bool(self._told)

    def words(self, at: At) -> Sequence[Seen]:
        """Return how much has grown since when."""
        return [
            HeldGraphsSeen(
                where=where, step=at.step, epoch=at.epoch, num_graphs=each.now, growth=each.now - each.first,
                num_steps=at.step - each.step, num_epochs=at.epoch - each.epoch,
                num_backwards=self._num_backwards - each.num_backwards,
            )
            for where, each in self._growths.items()
            if where in self._told
        ]  # fmt: skip


def _is_users(module: nn.Module) -> bool:
    return not type(module).__module__.startswith("torch.")


def _held(modules: Sequence[tuple[str, nn.Module]]) -> Iterator[tuple[str, int]]:
    """Iterate over the attributes that may hold graphs, with the number of graphs in each."""
    room = [_MAX_VALUES]
    for path, module in modules:
        for name, value in vars(module).items():
            if name not in _OWN and isinstance(value, Tensor | list | tuple | Mapping | deque | set):
                yield f"{path}.{name}" if path else name, round(_graphs(value, _MAX_DEPTH, room))


def _graphs(value: object, depth: int, room: list[int]) -> float:
    """Return how many graphs a value holds; of a large container, what a sample of it lets expect.

    Args:
        value: Any value.
        depth: Levels of containers that are still looked into.
        room: How many values may still be looked at; it is counted down.
    """
    room[0] -= 1
    if room[0] < 0:
        return 0.0
    if isinstance(value, Tensor):
        return float(_nodes(value)) if value.grad_fn is not None else 0.0
    if not depth or not isinstance(value, list | tuple | Mapping | deque | set) or not value:
        return 0.0
    values = value.values() if isinstance(value, Mapping) else value
    chosen = list(islice(values, _ENDS))
    if len(value) > _ENDS and isinstance(values, Reversible):  # sets are not, and views of the user's own mappings neither
        chosen += list(islice(reversed(values), min(_ENDS, len(value) - _ENDS)))
    return sum(_graphs(each, depth - 1, room) for each in chosen) * len(value) / len(chosen)


def _nodes(tensor: Tensor) -> int:
    """Return how many sums a tensor is the last of, one at least: a running total of losses grows with every step."""
    longest = 1
    for side in (0, 1):
        node, length = tensor.grad_fn, 0
        while node is not None and length < _MAX_NODES and node.name().startswith(_SUMS):
            length += 1
            following = node.next_functions
            node = following[min(side, len(following) - 1)][0] if following else None
        longest = max(longest, length)
    return longest
