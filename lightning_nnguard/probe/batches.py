"""Tensors in a batch of any type, with the path that leads to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor

_MAX_DEPTH = 6
_MAX_LEAVES = 256


def tensors_in(batch: object, path: str = "batch") -> Iterator[tuple[str, Tensor]]:
    """Iterate over the tensors of a batch with their paths, such as `batch["image"]` or `batch[0].mask`.

    Mappings, lists, tuples, dataclasses and plain objects are walked; strings, None and anything else are passed over. At most 256
    tensors and 6 levels, so that no container is endless.
    """
    yield from islice(_walk(batch, path, _MAX_DEPTH), _MAX_LEAVES)


def _walk(value: object, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
        return
    if depth == 0 or value is None or isinstance(value, str | bytes | int | float | type):
        return
    if isinstance(value, Mapping):
        children = [(f"{path}[{key!r}]", child) for key, child in value.items()]
    elif isinstance(value, list | tuple):
        names = getattr(value, "_fields", None)
        children = [(f"{path}.{names[i]}" if names else f"{path}[{i}]", child) for i, child in enumerate(value[:_MAX_LEAVES])]
    elif dataclasses.is_dataclass(value):
        children = [(f"{path}.{field.name}", getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    else:
        attributes = getattr(value, "__dict__", None)
        children = [(f"{path}.{name}", child) for name, child in attributes.items()] if isinstance(attributes, dict) else []
    for child_path, child in children:
        yield from _walk(child, child_path, depth - 1)


def float_tensors_in(batch: object) -> list[tuple[str, Tensor]]:
    """Return the dense, non-empty, real floating-point tensors of a batch with their paths."""
    return [
        (path, tensor)
        for path, tensor in tensors_in(batch)
        if tensor.is_floating_point() and tensor.numel() and tensor.layout is torch.strided and not tensor.is_meta
    ]
