"""Observations of an audit from several ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lightning_nnguard.observation import Seen


def merged(by_rank: Sequence[Sequence[Seen]]) -> list[Seen]:
    """Return the observations of all ranks: what all have seen alike once; anything else with its rank.

    Args:
        by_rank: Observations of each rank, in rank order, none with a rank of its own.
    """
    ranks: dict[Seen, list[int]] = {}
    for rank, observations in enumerate(by_rank):
        for seen in observations:
            known = ranks.setdefault(seen, [])
            if rank not in known:
                known.append(rank)
    return [
        seen if len(known) == len(by_rank) else replace(seen, rank=rank)
        for seen, known in ranks.items()
        for rank in (known if len(known) < len(by_rank) else known[:1])
    ]
