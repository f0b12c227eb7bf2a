"""What values are made of in the end, for all calls of a record at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from lightning_nnguard.probe.audit.call import Call, Value


class MadeOf(NamedTuple):
    """What a value is made of that nothing recorded has made; see `graph.roots`.

    Attributes:
        batch: Tensors of the batch, one bit for each, by their place in it.
        has_parameter: Whether a parameter is among it.
        has_numbers: Whether a parameter or real numbers from elsewhere than the batch are among it.
    """

    batch: int = 0
    has_parameter: bool = False
    has_numbers: bool = False


class Makings:
    """What the values of a record are made of.

    Args:
        calls: All calls, in order.
        batch: Values of the tensors in the batch.
    """

    def __init__(self, calls: Iterable[Call], batch: Sequence[Value]) -> None:
        self._places: Mapping[int, int] = {id(value): place for place, value in enumerate(batch)}
        self._table: dict[int, MadeOf] = {}
        for call in calls:
            tensors, has_parameter, has_numbers = MadeOf()
            for value in call.inputs:
                known = self.of(value)
                tensors |= known.batch
                has_parameter |= known.has_parameter
                has_numbers |= known.has_numbers
            self._table[call.number] = MadeOf(tensors, has_parameter, has_numbers)

    def of(self, value: Value) -> MadeOf:
        """Return what a value is made of."""
        if value.call is not None:
            return self._table[value.call.number]
        place = self._places.get(id(value))
        is_from_elsewhere = place is None and (value.is_floating or value.is_parameter)
        return MadeOf(0 if place is None else 1 << place, value.is_parameter, is_from_elsewhere)
