"""NNG212."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import loss_call, made_by

_DISTANCES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
_PROBABILITIES = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})


@dataclass(frozen=True, kw_only=True)
class UnreachableTarget(Rule[LossCallSeen]):
    """Targets outside of the range of the last function: negative ones behind ReLU, pixels up to 255 behind a sigmoid.

    What it checks:
        The targets of squared, absolute and Huber errors against the range of what made the prediction (ReLU, sigmoid, tanh,
        softmax, softplus, clamp, ...), and those of binary cross-entropy against [0, 1], in each training loss of the audited
        batches. A squared or absolute error is judged by the 5 % smallest and largest targets.

    Why it matters:
        No weights can produce such a target. The output saturates at its end, where the gradient vanishes, and the rest of the
        error stays for ever. A binary cross-entropy with a target outside of [0, 1] has no lower bound.

    How to fix:
        End the network with its linear layer (`return self.head(x)`), or scale the targets into the range. Binary labels are 0
        and 1: `y = (y > 0).float()` for -1 and 1.

    When it is harmless:
        When outliers are meant to be cut off. Targets that mark missing values and are masked after a loss with `reduction="none"`,
        or by a weight, are not judged.

    References:
        Bishop, "Pattern Recognition and Machine Learning" (2006), section 5.2: an output function for each kind of target.
    """

    code: ClassVar[str] = "NNG212"
    name: ClassVar[str] = "unreachable-target"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "no weights can produce these targets: the output saturates at its end and the rest of the error stays"
    fix: ClassVar[str] = "return the last linear layer's output without the bounding function, or scale the targets into its range"

    max_distance: float = threshold(
        0.05, "largest distance of the outer 5 % of the targets from the range, in its widths, or their deviations without a width"
    )
    max_label_distance: float = threshold(
        0.25, "largest distance of a binary cross-entropy's target from [0, 1], which leaves room for noisy labels"
    )
    min_targets: float = threshold(16, "targets that a verdict needs", low=2)

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
        if not seen.is_trained or seen.reduction == "none" or seen.is_weighted or seen.num_targets < self.min_targets:
            return None
        if seen.function in _PROBABILITIES:
            distance, limit = max(-seen.target_min, seen.target_max - 1), self.max_label_distance
            span, low, high = "[0, 1]", seen.target_min, seen.target_max
        elif seen.function in _DISTANCES:
            limit = self.max_distance * self._width(seen)
            below = 0.0 if seen.input_low is None else seen.input_low - seen.target_low
            above = 0.0 if seen.input_high is None else seen.target_high - seen.input_high
            distance, span, low, high = max(below, above), _span(seen), seen.target_low, seen.target_high
        else:
            return None
        if distance <= limit:
            return None
        share = "all" if seen.function in _PROBABILITIES else "90 %"
        return self.finding(
            seen,
            f"{loss_call(seen)} has targets from {low:.3g} to {high:.3g} ({share} of {seen.num_targets}), "
            f"{distance:.3g} outside of {span} (threshold {limit:.3g}){made_by(seen)}",
            evidence={
                "function": seen.function, "input_function": seen.input_function, "target_low": low, "target_high": high,
                "distance": distance, "max_distance": limit, "num_targets": seen.num_targets,
            },
        )  # fmt: skip

    def _width(self, seen: LossCallSeen) -> float:
        if seen.input_low is None or seen.input_high is None:
            return seen.target_std
        return seen.input_high - seen.input_low


def _span(seen: LossCallSeen) -> str:
    low, high = (default if end is None else f"{end:g}" for end, default in ((seen.input_low, "-inf"), (seen.input_high, "inf")))
    return f"the range of {seen.input_function}, [{low}, {high}]"
