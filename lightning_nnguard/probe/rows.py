"""Rows of the packed statistics: which place each one stands for, in an order that all ranks agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True, kw_only=True)
class Row:
    """One place whose outputs are watched.

    Attributes:
        where: Module path, with "()" and a number behind it for functional calls and repeated ones: "head", "head.relu()", "act#2".
        kind: Lower-case type, such as "relu" or "conv2d".
        source: "file.py:48 F.relu" for functional calls; None for modules.
        num_units: Units, for rectifiers; 0 otherwise.
        is_weighted: Whether it is a linear or convolution layer.
        dtype: Data type of its output.
    """

    where: str
    kind: str
    source: str | None = None
    num_units: int = 0
    is_weighted: bool = False
    dtype: torch.dtype = torch.float32

    @cached_property
    def largest(self) -> float:
        """Largest finite value of the data type."""
        return float(torch.finfo(self.dtype).max)

    @cached_property
    def dtype_name(self) -> str:
        """Name of the data type, such as "float32"."""
        return str(self.dtype).removeprefix("torch.")


class Rows:
    """Places in the order they were found on this rank, and their place in the order that all ranks share.

    Args:
        gather: Gives every rank's list of rows, in rank order; None on a single process, where every row is shared at once.
    """

    def __init__(self, gather: Callable[[Sequence[Row]], Sequence[Sequence[Row]]] | None = None) -> None:
        self._gather = gather
        self.local: list[Row] = []
        self._index: dict[str, int] = {}
        self.shared: list[Row] = self.local if gather is None else []

    def find(self, where: str) -> int | None:
        """Return the local index of a place, or None when it is new."""
        return self._index.get(where)

    def get(self, where: str) -> Row | None:
        """Return the row of a place, or None when it is new."""
        index = self._index.get(where)
        return None if index is None else self.local[index]

    def add(self, row: Row) -> int:
        """Add a new place and return its local index."""
        self._index[row.where] = len(self.local)
        self.local.append(row)
        return len(self.local) - 1

    @property
    def num_unshared(self) -> int:
        """Places that this rank has found and the others may not know."""
        known = {row.where for row in self.shared}
        return 0 if self._gather is None else sum(row.where not in known for row in self.local)

    def agree(self) -> None:
        """Share all places found so far; every rank must call this at the same time."""
        if self._gather is None:
            return
        known = {row.where for row in self.shared}
        for rows in self._gather(self.local):
            for row in rows:
                if row.where not in known:
                    known.add(row.where)
                    self.shared.append(row)

    def shared_index(self) -> list[int]:
        """Return, for each shared place, its local index; -1 when this rank has not met it."""
        return [self._index.get(row.where, -1) for row in self.shared]
