"""NNG307."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ActivationSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class HalfPrecisionHeadroom(Rule[ActivationSeen]):
    """Float16 output close to overflow.

    What it checks:
        The largest absolute value, exact over all elements, of every float16 output against the largest float16 number,
        65504.

    Why it matters:
        Half of the range is one doubling from Inf. One larger batch then makes the loss non-finite.

    How to fix:
        Use bfloat16 (`precision="bf16-mixed"`), run this layer in float32, or normalise its input.

    When it is harmless:
        When the layer is bounded by construction, so its output cannot grow.

    References:
        Micikevicius et al., "Mixed Precision Training" (arXiv:1710.03740).
    """

    code: ClassVar[str] = "NNG307"
    name: ClassVar[str] = "half-precision-headroom"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "one doubling more overflows to Inf, and the loss becomes non-finite"
    fix: ClassVar[str] = "use bf16-mixed precision, run this layer in float32, or normalise its input"

    max_range_fraction: float = threshold(0.5, "largest healthy share of the data type's range", high=1.0)

    def check(self, seen: ActivationSeen) -> Finding | None:
        """Judge the extremes of one float16 output."""
        extreme = max(abs(seen.low), abs(seen.high))
        if seen.dtype != "float16" or extreme <= self.max_range_fraction * seen.largest:
            return None
        return self.finding(
            seen,
            f"largest output is {extreme:.3g}, {extreme / seen.largest:.2f} of the largest float16, {seen.largest:g} "
            f"(threshold {self.max_range_fraction:g}, exact over {seen.num_samples} samples)",
            evidence={
                "extreme": extreme,
                "largest": seen.largest,
                "max_range_fraction": self.max_range_fraction,
                "num_samples": seen.num_samples,
            },
        )
