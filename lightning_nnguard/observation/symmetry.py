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
