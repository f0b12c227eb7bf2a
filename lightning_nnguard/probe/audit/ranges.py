"""What functions can return at all."""

from __future__ import annotations

from collections.abc import Mapping

from lightning_nnguard.probe.audit.call import Call

Range = tuple[float | None, float | None]
_ALL: Range = (None, None)
_RANGES: Mapping[str, Range] = {
    "relu": (0.0, None), "softplus": (0.0, None), "exp": (0.0, None), "square": (0.0, None), "abs": (0.0, None),
    "sigmoid": (0.0, 1.0), "hardsigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "relu6": (0.0, 6.0),
    "tanh": (-1.0, 1.0), "softsign": (-1.0, 1.0), "log_sigmoid": (None, 0.0), "log_softmax": (None, 0.0),
}  # fmt: skip


def reach(call: Call) -> Range:
    """Return the lower and upper end of what a call can return; None where there is none, or none is known."""
    if call.function == "hardtanh":
        return _number(call.argument(1, "min_val", -1.0)), _number(call.argument(2, "max_val", 1.0))
    if call.function == "clamp":
        return _number(call.argument(1, "min")), _number(call.argument(2, "max"))
    return _RANGES.get(call.function, _ALL)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
