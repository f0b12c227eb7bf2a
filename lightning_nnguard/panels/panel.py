"""What a panel is, and what it asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args, get_type_hints

from lightning_nnguard.observation import Seen
from lightning_nnguard.panels.chart import Chart

Panel = Callable[..., list[Chart]]
"""A function from all observations of one kind on one sampled step, `Sequence[SomethingSeen]`, to charts."""


def subscription(panel: Panel) -> type[Seen]:
    """Return the kind of observation that a panel's first argument is annotated with.

    Raises:
        TypeError: If that annotation is not a `Sequence` of observations.
    """
    first = next(iter(get_type_hints(panel).values()), None)
    kinds = get_args(first)
    if len(kinds) != 1 or not (isinstance(kinds[0], type) and issubclass(kinds[0], Seen)):
        raise TypeError(f"panel {panel!r}: the first argument is annotated {first!r}; it must be a Sequence of one kind of Seen")
    return kinds[0]
