"""The parts of parameters that FSDP1 keeps: flat, of one dimension, and empty on some ranks."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class FlatShard(NamedTuple):
    """What a flat part of a parameter belongs to.

    Attributes:
        shape: Shape of the whole parameter.
        num_shards: Ranks that hold a part each; 1 where each rank holds all of it.
    """

    shape: torch.Size
    num_shards: int


def flat_shards(model: nn.Module) -> dict[int, FlatShard]:
    """Return what the flat parts in a model belong to, by the id of the parameter; empty without FSDP1."""
    fsdp: Any = sys.modules.get("torch.distributed.fsdp.fully_sharded_data_parallel")
    found: dict[int, FlatShard] = {}
    if fsdp is None:
        return found
    for module in model.modules():
        handle = getattr(module, "_handle", None) if isinstance(module, fsdp.FullyShardedDataParallel) else None
        if handle is None:
            continue
        flat, num = handle.flat_param, handle.process_group.size() if handle.uses_sharded_strategy else 1
        if flat._params is None:  # use_orig_params=False
            found[id(flat)] = FlatShard(torch.Size([flat.numel() * num]), num)
            continue
        parameters: list[Tensor] = list(flat._params)
        found |= {id(each): FlatShard(shape, num) for each, shape in zip(parameters, flat._shapes, strict=True)}
    return found
