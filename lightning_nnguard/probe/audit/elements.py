"""Real-valued targets that are one fixed element of the input, such as the last value of a window that is to be forecast."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.feed import intakes
from lightning_nnguard.probe.audit.graph import PASSING, ancestors, chain
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.tape import is_plain
from lightning_nnguard.probe.audit.twin import Twin
from lightning_nnguard.probe.batches import tensors_in

#: Samples that are looked at; fewer than the least say nothing.
_MAX_SAMPLES = 512
_MIN_SAMPLES = 16
#: Numbers of a tensor that are looked at, at most; one with more elements in each sample is passed over.
_MAX_NUMBERS = 2**22
#: Share of the samples from which on an element is written down.
_MIN_EQUAL = 0.9
#: Calls among `PASSING` that leave elements out.
_CHOOSING = frozenset({"getitem", "select", "narrow", "chunk", "split", "unbind", "index_select"})
#: Calls that keep all elements of a tensor, its scaling included.
_KEEPING = (PASSING - _CHOOSING) | {"sub", "div"}


def twins(batch: object) -> tuple[Twin, ...]:
    """Return, for the real-valued tensors of a batch with one number for each sample, the elements of others that equal them.

    Args:
        batch: The batch; waits for its device.
    """
    tensors = [(path, each.detach()) for path, each in tensors_in(batch) if _is_real(each)]
    found = []
    with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
        for path, target in tensors:
            if target.numel() != len(target):
                continue
            for other, source in tensors:
                if len(source) == len(target) and source.device == target.device and source.numel() > len(source):
                    found.append(_twin(path, target, other, source))
    return tuple(each for each in found if each is not None)


def _is_real(tensor: Tensor) -> bool:
    is_wide = tensor.is_floating_point() and tensor.element_size() > 1
    return is_plain(tensor) and is_wide and tensor.dim() > 0 and len(tensor) >= _MIN_SAMPLES


def _twin(path: str, target: Tensor, other: str, source: Tensor) -> Twin | None:
    """Return the element of a tensor that equals a target most often; None when it is seldom equal."""
    num = min(len(target), _MAX_SAMPLES, _MAX_NUMBERS // (source.numel() // len(source)))
    if num < _MIN_SAMPLES:
        return None
    rows, goal = source[:num].reshape(num, -1), target[:num].reshape(num, 1).to(source.dtype)
    (first, second), (place, _) = (each.tolist() for each in (rows == goal).sum(0).topk(2))
    if first < _MIN_EQUAL * num:
        return None
    index = tuple(int(each) for each in torch.unravel_index(torch.tensor(place), source.shape[1:]))
    return Twin(
        target=path, source=other, index=index, num_samples=num, num_equal=first, num_rivals=second,
        num_values=len(set(goal.flatten().tolist())),
    )  # fmt: skip


def twin_of(record: Record, call: Call, source: Value, target: Value) -> Twin | None:
    """Return the element of the input that the target of a loss equals, if the model was given all of that input; None for others.

    Args:
        record: The record.
        call: The call of the loss function.
        source: Its input.
        target: Its target.
    """
    if not record.twins or call.number not in record.trained:
        return None
    path, made_by = _whole(target), {each.number for each in ancestors(source)}
    given = {_whole(each.call.inputs[0]) for each in intakes(record) if each.call.number in made_by}
    found: Sequence[Twin] = [each for each in record.twins if each.target == path and each.source in given]
    return max(found, key=lambda each: each.num_equal, default=None)


def _whole(value: Value) -> str:
    """Return the tensor of the batch that a value holds all numbers of; "" when there is none."""
    last = chain(value, _KEEPING)[-1]
    return last.label if last.label.startswith("batch") and prod(last.shape) == prod(value.shape) else ""
