"""NNG118."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import loss_call

_DISTANCES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
#: Functions that reach large numbers from small ones.
_WIDE = frozenset({"exp", "expm1", "pow", "sinh"})


@dataclass(frozen=True, kw_only=True)
class UnscaledTarget(Rule[LossCallSeen]):
    """Regression targets on a scale that a fresh network is far from: house prices in dollars, years.

    What it checks:
        The targets of squared, absolute and Huber errors that are trained in the audited batches: their standard deviation, and
        their mean in standard deviations. It speaks only while the predictions are on another scale.

    Why it matters:
        Gradients of a squared error grow with the targets' scale, so the run diverges or crawls. Adam moves each weight by its
        learning rate, so an output of a million takes a million small steps.

    How to fix:
        Train on `(y - mean) / std` with numbers of the training set, and undo it for predictions: `self(x) * std + mean`. Or set
        the last layer's bias to the mean: `nn.init.constant_(self.head.bias, mean)`.

    When it is harmless:
        When the network ends with a scale of its own, or its last layer was initialised to it: then predictions are on the targets'
        scale and nothing is said. Targets that the model has made are not judged.

    References:
        LeCun et al., "Efficient BackProp" (1998), section 4.5 on targets; Goodfellow et al., "Deep Learning" (2016), section 8.4.
    """

    code: ClassVar[str] = "NNG118"
    name: ClassVar[str] = "unscaled-target"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the network has to grow its output by orders of magnitude before it can fit anything"
    fix: ClassVar[str] = "train on `(y - mean) / std` with the training set's numbers, and undo it for predictions"

    max_std: float = threshold(100.0, "largest healthy standard deviation of the targets")
    max_offset: float = threshold(10.0, "largest healthy distance of the targets' mean from 0, in their standard deviations")
    min_mean: float = threshold(10.0, "smallest mean, regardless of its sign, that is far for the bias of a last layer")
    max_share: float = threshold(0.1, "largest range of the predictions, as a share of the targets' deviation, that is too small")
    min_targets: float = threshold(16, "targets that a verdict needs", low=2)

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
        if seen.function not in _DISTANCES or not seen.is_trained or seen.is_target_made or seen.input_function in _WIDE:
            return None
        std, distance = seen.target_std, abs(seen.target_mean - seen.input_mean)
        if seen.num_targets < self.min_targets or std <= 0:
            return None
        if std > self.max_std and seen.input_max - seen.input_min < self.max_share * std:
            what = f"a standard deviation of {std:.3g} (threshold {self.max_std:g})"
        elif min(abs(seen.target_mean), distance) > max(self.max_offset * std, self.min_mean):
            offset = abs(seen.target_mean) / std
            what = f"a mean of {seen.target_mean:.3g}, {offset:.3g} standard deviations from 0 (threshold {self.max_offset:g})"
        else:
            return None
        return self.finding(
            seen,
            f"targets of {loss_call(seen)} have {what} over {seen.num_targets} values, while predictions lie between "
            f"{seen.input_min:.3g} and {seen.input_max:.3g}",
            evidence={
                "function": seen.function, "target_mean": seen.target_mean, "target_std": std, "max_std": self.max_std,
                "max_offset": self.max_offset, "num_targets": seen.num_targets, "input_min": seen.input_min,
                "input_max": seen.input_max,
            },
        )  # fmt: skip
