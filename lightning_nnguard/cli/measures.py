"""What a new rule can look at: the numbers in each kind of observation."""

from __future__ import annotations

import dataclasses
from typing import get_type_hints

from lightning_nnguard import observation
from lightning_nnguard.observation import HistogramSeen, PictureSeen, Seen

FOR_PANELS = (HistogramSeen, PictureSeen)
NOT_MEASURED = {"largest"}  # says what the data type can hold
USUAL = {
    "data": "NonFiniteSeen",
    "wiring": "UpdateSeen",
    "activations": "ActivationSeen",
    "gradients": "GradientSeen",
    "updates": "UpdateSeen",
    "modes": "ModeSeen",
    "learning": "LossSeen",
}


def observations() -> dict[str, type[Seen]]:
    """Return the kinds of observation that rules judge, by name."""
    kinds = [kind for kind in vars(observation).values() if isinstance(kind, type) and issubclass(kind, Seen)]
    return {kind.__name__: kind for kind in kinds if kind is not Seen and kind not in FOR_PANELS}


def measures(kind: type[Seen]) -> dict[str, type]:
    """Return the numbers that every observation of a kind holds, by field name: float, int, or tuple for a series of floats."""
    hints = get_type_hints(kind)
    common = {field.name for field in dataclasses.fields(Seen)} | NOT_MEASURED
    own = [field.name for field in dataclasses.fields(kind) if field.name not in common]
    shapes = {float: float, int: int, tuple[float, ...]: tuple}
    return {name: shapes[hints[name]] for name in own if hints[name] in shapes}


def first_measure(kind: type[Seen]) -> str:
    """Return the number to begin with: the first that is not a count, if there is one."""
    found = measures(kind)
    return next((name for name, shape in found.items() if shape is not int), next(iter(found)))
