"""The base of all observations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Stage = Literal["train", "validate", "test", "predict"]
ParameterKind = Literal["weight", "bias", "norm", "embedding"]
Quantity = Literal["input", "loss", "activation", "gradient", "parameter", "statistic"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Something seen at one place of a run.

    Attributes:
        where: Module path, parameter name or metric name; "" is the whole run.
        step: Optimizer step (batches that stepped) at which it was seen.
        epoch: Epoch at which it was seen.
        rank: The one rank that saw it; None when merged over all ranks.
    """

    where: str = ""
    step: int
    epoch: int
    rank: int | None = None


def has_non_finite(seen: Seen) -> bool:
    """Return whether any number of an observation, in a tuple of numbers too, is NaN or infinite."""
    for value in vars(seen).values():
        if type(value) is float:
            if not math.isfinite(value):
                return True
        elif type(value) is tuple and value and type(value[0]) is float and not math.isfinite(sum(value)):
            return True
    return False
