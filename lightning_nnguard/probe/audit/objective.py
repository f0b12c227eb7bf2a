"""What a backward pass starts from, and what it can reach: looked at while the graph is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from lightning_nnguard.observation import Trains
from lightning_nnguard.probe.audit.call import Value
from lightning_nnguard.probe.audit.tape import Tape


@dataclass(frozen=True, kw_only=True, eq=False)
class Objective:
    """A loss at the start of its backward pass.

    Attributes:
        value: The loss.
        number: Its number; None when it is not finite.
        trains: What its gradient reaches; see `ObjectiveSeen`.
        num_gradients: Trainable parameters that have a gradient after the backward pass; None when that did not come to its end.
    """

    value: Value
    number: float | None
    trains: Trains
    num_gradients: int | None = None


def objective(loss: Tensor, tape: Tape, own: Collection[int]) -> Objective:
    """Return what a backward pass starts from.

    Args:
        loss: any shape, usually ().
        tape: The calls so far.
        own: Ids of the model's trainable parameters.
    """
    with torch.no_grad(), torch._C.DisableTorchFunction():
        number = float(loss.detach().float().mean()) if loss.numel() and loss.is_floating_point() else float("nan")
        trains: Trains = "nothing"
        for leaf in _leaves(loss):
            if id(leaf) in own:
                trains = "parameters"
                break
            if not _is_fresh(leaf, tape):
                trains = "others"
        return Objective(value=tape.value(loss), number=number if isfinite(number) else None, trains=trains)


def _is_fresh(leaf: Tensor, tape: Tape) -> bool:
    """Return whether a leaf of the graph was made in this batch, such as `torch.tensor(loss.item(), requires_grad=True)`."""
    known = tape.value(leaf)
    return known.call is not None or (not known.label and not known.is_parameter and leaf.numel() == 1)


def _leaves(loss: Tensor) -> Iterator[Tensor]:
    """Iterate over the tensors at which the gradient of a loss ends, the nearest first."""
    if loss.grad_fn is None:
        if loss.requires_grad:
            yield loss
        return
    waiting, seen = deque([loss.grad_fn]), {loss.grad_fn}
    while waiting:
        node = waiting.popleft()
        leaf = getattr(node, "variable", None) if type(node).__name__ == "AccumulateGrad" else None
        if isinstance(leaf, Tensor):
            yield leaf
        following = {each for each, _ in node.next_functions if each is not None} - seen
        seen |= following
        waiting += following
