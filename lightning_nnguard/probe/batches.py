"""Tensors in a batch of any type, with the path that leads to each."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor

_MAX_DEPTH = 6
_MAX_LEAVES = 256
_MAX_VALUES = 4096


def tensors_in(batch: object, path: str = "batch") -> Iterator[tuple[str, Tensor]]:
    """Iterate over the tensors of a batch with their paths, such as `batch["image"]` or `batch[0].mask`, the outer ones first.

    Mappings, lists, tuples, dataclasses and plain objects are walked; strings, None and anything else are passed over. At most 256
    tensors, 6 levels and 4096 values are looked at, and none twice: containers may be endless, or hold a whole data set.
    """
    waiting = deque([(path, batch, _MAX_DEPTH)])
    seen: set[int] = set()
    num_tensors = 0
    for _ in range(_MAX_VALUES):
        if not waiting or num_tensors == _MAX_LEAVES:
            return
        path, value, depth = waiting.popleft()
        if isinstance(value, Tensor):
            num_tensors += 1
            yield path, value
        elif depth and id(value) not in seen and not isinstance(value, str | bytes | int | float | type | None):
            seen.add(id(value))
            waiting.extend((each, child, depth - 1) for each, child in islice(_children(path, value), _MAX_LEAVES))


def _children(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((f"{path}[{key!r}]", child) for key, child in value.items())
    elif isinstance(value, list | tuple):
        names = getattr(value, "_fields", None)
        yield from ((f"{path}.{names[i]}" if names else f"{path}[{i}]", child) for i, child in enumerate(value))
    elif dataclasses.is_dataclass(value):
        yield from ((f"{path}.{field.name}", getattr(value, field.name, None)) for field in dataclasses.fields(value))
    else:
        attributes = getattr(value, "__dict__", None)
        yield from ((f"{path}.{name}", child) for name, child in (attributes if isinstance(attributes, dict) else {}).items())


def tensor_at(batch: object, wanted: str) -> Tensor | None:
    """Return the dense tensor at a path of a batch, such as "batch[1]"; None when there is none."""
    for path, tensor in tensors_in(batch):
        if path == wanted:
            return tensor if tensor.layout is torch.strided and not tensor.is_meta else None
    return None


def float_tensors_in(batch: object) -> list[tuple[str, Tensor]]:
    """Return the dense, non-empty, real floating-point tensors of a batch with their paths."""
    return [
        (path, tensor)
        for path, tensor in tensors_in(batch)
        if tensor.is_floating_point() and tensor.numel() and tensor.layout is torch.strided and not tensor.is_meta
    ]
