"""Which units of a rectifier fired."""

from __future__ import annotations

from torch import Tensor


def fired_units(output: Tensor, unit_dim: int) -> Tensor:
    """Return 1 for each unit that was positive for at least one sample at any position, else 0.

    Args:
        output: shape (batch, ..., units, ...), output of a rectifier.
        unit_dim: Dimension of the units: 1 for convolutions, -1 for linear layers.

    Returns:
        shape (units,), same dtype and device as `output`. NaN counts as not fired.
    """
    unit_dim %= output.dim()
    others = [dim for dim in range(output.dim()) if dim != unit_dim]
    peak = output.amax(dim=others) if others else output
    return peak > 0
