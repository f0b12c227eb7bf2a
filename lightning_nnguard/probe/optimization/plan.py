"""What only the Trainer knows of the optimizers' work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


def _unknown() -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class OptimizationPlan:
    """What only the Trainer knows of the optimizers' work; each is asked when it is needed.

    Attributes:
        num_steps: Returns the optimizer steps of the whole run; None when it has no known end.
        steps_per_epoch: Returns the optimizer steps of an epoch; None when that is unknown.
        clip_norm: Returns the norm to which the Trainer itself clips gradients; None when it does not.
        scale: Returns the scale of the gradient scaler, on its device; None without one.
    """

    num_steps: Callable[[], float | None] = _unknown
    steps_per_epoch: Callable[[], int | None] = _unknown
    clip_norm: Callable[[], float | None] = _unknown
    scale: Callable[[], Tensor | None] = _unknown
