"""NNG510."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import PrecisionSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class UpdateBelowPrecision(Rule[PrecisionSeen]):
    """Half-precision weights that updates are too small to change.

    What it checks:
        Parameters that are kept in bfloat16 or float16. Of a sample of their elements, those whose gradient was not zero on
        any sampled step are compared with what they were at least 50 steps before. More than 90 % have exactly the same value,
        though the learning rate was at least half of the largest one so far. While the run is learning the finding is INFO.

    Why it matters:
        bfloat16 has 8 bits of precision: what is smaller than 0.4 % of a weight is lost when it is added, at every step anew, so
        the weight never moves, however long the training. Only the smallest weights learn.

    How to fix:
        Keep the weights in float32 and compute in half precision: `precision="bf16-mixed"` instead of `"bf16-true"`. Or use an
        optimizer that carries the remainder along (Kahan summation) or rounds stochastically; or a larger learning rate.

    When it is harmless:
        At the end of a schedule (not judged) and when training has converged. Elements without a gradient, as the rows of an
        embedding that no token uses, are not counted.

    References:
        Zamirai et al., "Revisiting BFloat16 Training" (2020).
    """

    code: ClassVar[str] = "NNG510"
    name: ClassVar[str] = "update-below-precision"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "updates are rounded away when they are added to half-precision weights, so most weights never move"
    fix: ClassVar[str] = 'use precision="bf16-mixed", which keeps weights in float32, or an optimizer with Kahan summation'
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG303", "NNG401", "NNG506", "NNG702"})

    max_unchanged_share: float = threshold(0.9, "largest healthy share of elements that have not moved", high=1.0)
    min_num_values: float = threshold(64, "elements with a gradient that a verdict needs", low=8)
    min_span: float = threshold(50, "steps that they must not have moved for")
    min_rate_share: float = threshold(0.5, "smallest learning rate that is judged, as a share of the largest so far", high=1.0)

    def check(self, seen: PrecisionSeen) -> Finding | None:
        """Judge how much of one parameter has moved."""
        share = seen.num_unchanged / max(seen.num_values, 1)
        if seen.num_values < self.min_num_values or seen.span < self.min_span or share <= self.max_unchanged_share:
            return None
        if seen.rate <= 0 or seen.rate < self.min_rate_share * seen.largest_rate:
            return None
        return self.finding(
            seen,
            f"{seen.num_unchanged} of {seen.num_values} {seen.dtype} elements with a gradient have not moved in {seen.span} steps "
            f"({share:.0%}, threshold {self.max_unchanged_share:.0%}; {seen.num_samples} sampled steps, "
            f"learning rate {seen.rate:.1e})",
            evidence={
                "num_unchanged": seen.num_unchanged, "num_values": seen.num_values, "max_unchanged_share": self.max_unchanged_share,
                "span": seen.span, "num_samples": seen.num_samples, "learning_rate": seen.rate, "dtype": seen.dtype,
            },
        )  # fmt: skip
