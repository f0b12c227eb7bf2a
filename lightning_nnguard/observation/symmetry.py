"""What is seen of the symmetry between a layer's units."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen


@dataclass(frozen=True, kw_only=True)
class SymmetrySeen(Seen):
    """How far apart the units of a layer are that were all alike when training began.

    `where` is the parameter. It is seen once the parameter has moved.

    Attributes:
        num_units: Units: rows of a linear layer's weight, filters of a convolution.
        gap: Largest difference between the same weight of two units, relative to the largest weight.
        num_steps: Steps since the units were first looked at.
        zero_initialised: Whether the weight was all zero then.
    """

    num_units: int
    gap: float
    num_steps: int
    zero_initialised: bool = False


@dataclass(frozen=True, kw_only=True)
class DuplicateUnitsSeen(Seen):
    """How many units of a layer have a double: another unit whose weights point the same way. `where` is the parameter.

    Attributes:
        num_units: Units: rows of a linear layer's weight, filters of a convolution.
        num_compared: Units that were compared with each other; those whose weights are all zero are left out.
        num_alike: Units among them that have a double.
        fan_in: Weights of a unit.
        min_cosine: Smallest cosine between the weights of doubles.
        num_steps: Steps since training began, or was resumed.
    """

    num_units: int = 64
    num_compared: int = 64
    num_alike: int = 0
    fan_in: int = 128
    min_cosine: float = 0.999
    num_steps: int = 200
