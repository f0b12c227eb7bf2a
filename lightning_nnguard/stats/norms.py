"""Norms of many tensors at once, right for sharded and replicated parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: Sums of squares overflow float16, and 8 mantissa bits are too few for a norm.
_HALF = {torch.float16, torch.bfloat16}


def local(tensor: Tensor) -> Tensor:
    """Return the shard of a distributed tensor that lives on this rank, without a collective; other tensors as they are."""
    to_local = getattr(tensor, "to_local", None)
    return to_local() if to_local is not None else tensor


def replication_weight(parameter: Tensor, world_size: int, num_shards: int = 0) -> float:
    """Return 1 / (number of ranks that hold the same elements), the weight of a local sum in a sum over all ranks.

    Placements are asked whether they replicate, never whether they shard: FSDP2 with tensor parallelism yields a strided shard
    that is not an instance of `Shard`.

    Args:
        parameter: any shape, what this rank holds.
        world_size: Number of ranks.
        num_shards: Ranks that hold different parts, where the tensor does not say so itself (FSDP1); 0 where it does.
    """
    replicas = world_size // max(num_shards, 1)
    placements = getattr(parameter, "placements", None)
    if placements is not None:
        mesh = parameter.device_mesh  # type: ignore[attr-defined]
        for dim, placement in enumerate(placements):
            if not placement.is_replicate():
                replicas //= mesh.size(dim)
    return 1.0 / replicas


def square_sums(tensors: Sequence[Tensor]) -> Tensor:
    """Return the sum of squares of each tensor.

    The norm is finite exactly when all elements are finite and their squares do not overflow, so this is also the finite check.

    Args:
        tensors: any shapes, real floating dtypes, same device; empty ones count 0.

    Returns:
        shape (len(tensors),), float32.
    """
    return torch.stack(norms(tensors)).square() if tensors else torch.zeros(0, dtype=torch.float32)


def norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the norm of each tensor, of shape () and dtype float32; see `square_sums`."""
    if any(each.dtype in _HALF for each in tensors):
        return [torch.linalg.vector_norm(each, dtype=torch.float32) for each in tensors]
    return [norm.float() for norm in torch._foreach_norm(list(tensors))]
