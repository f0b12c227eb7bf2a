"""NaN and Inf never meet a threshold: what holds them becomes a `NonFiniteSeen`."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import (
    ActivationProfileSeen,
    ActivationSeen,
    DeadUnitsSeen,
    GradientNormSeen,
    GradientProfileSeen,
    GradientSeen,
    HistogramSeen,
    LossSeen,
    NonFiniteSeen,
    Quantity,
    Seen,
    UpdateProfileSeen,
    UpdateSeen,
    has_non_finite,
)

_QUANTITIES: dict[type[Seen], Quantity] = {
    ActivationSeen: "activation",
    ActivationProfileSeen: "activation",
    DeadUnitsSeen: "activation",
    GradientSeen: "gradient",
    GradientProfileSeen: "gradient",
    GradientNormSeen: "gradient",
    UpdateSeen: "parameter",
    UpdateProfileSeen: "parameter",
    LossSeen: "loss",
}


def finite(observations: Sequence[Seen]) -> list[Seen]:
    """Return the observations of one round, each that holds NaN or Inf replaced by a `NonFiniteSeen` at the same place.

    The first of a quantity is marked as the first that went bad, unless the probe has already named one.
    """
    named = {seen.quantity for seen in observations if isinstance(seen, NonFiniteSeen) and seen.is_first and not seen.masked}
    checked: list[Seen] = []
    for seen in observations:
        if isinstance(seen, NonFiniteSeen) or not has_non_finite(seen):
            checked.append(seen)
            continue
        quantity = quantity_of(seen)
        bad = NonFiniteSeen(
            where=seen.where, step=seen.step, epoch=seen.epoch, rank=seen.rank, quantity=quantity, is_first=quantity not in named
        )
        named.add(quantity)
        checked.append(bad)
    return checked


def quantity_of(seen: Seen) -> Quantity:
    """Return the quantity that an observation describes."""
    return seen.quantity if isinstance(seen, HistogramSeen) else _QUANTITIES.get(type(seen), "statistic")
