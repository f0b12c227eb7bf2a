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
#: Losses whose targets are -1 and 1.
_SIGNED = frozenset({"cosine_embedding_loss", "margin_ranking_loss", "hinge_embedding_loss", "soft_margin_loss"})


@dataclass(frozen=True, kw_only=True)
class UnreachableTarget(Rule[LossCallSeen]):
    """Targets outside of the range of the last function: negative ones behind ReLU, pixels up to 255 behind a sigmoid.

    And targets that a loss has no place for, such as labels of 0 where it takes -1 and 1, several ones in a row of classes.

    What it checks:
        The targets of squared, absolute and Huber errors against the range of what made the prediction (ReLU, sigmoid, tanh,
        softmax, softplus, clamp, ...), and those of binary cross-entropy against [0, 1], in each training loss of the audited
        batches. A squared or absolute error is judged by the 5 % smallest and largest targets. `cosine_embedding_loss`,
        `hinge_embedding_loss`, `margin_ranking_loss` and `soft_margin_loss` take -1 and 1: judged when none of the targets is
        negative and some are no 1. Rows of targets of `cross_entropy` that hold several ones, zeros apart, are a warning when a
        linear layer or convolution made the logits: the probabilities of a row sum to one.

    Why it matters:
        No weights can produce such a target. The output saturates at its end, where the gradient vanishes, and the rest of the
        error stays for ever. A binary cross-entropy with a target outside of [0, 1] has no lower bound. Pairs with the label 0 do
        not count in `cosine_embedding_loss`, and add a constant to the other three: nothing pushes dissimilar pairs apart. With k
        ones in a row the best that softmax can do is 1 / k for each, so a threshold at one half finds none of them.

    How to fix:
        End the network with its linear layer (`return self.head(x)`), or scale the targets into the range. Binary labels are 0
        and 1: `y = (y > 0).float()` for -1 and 1. Signs are `2 * y - 1` for 0 and 1. For several labels a row use
        `F.binary_cross_entropy_with_logits(logits, y)`.

    When it is harmless:
        When outliers are meant to be cut off. Targets that mark missing values and are masked after a loss with `reduction="none"`,
        or by a weight, are not judged. A multinomial likelihood of sets (items that a user has bought) has several ones in a row on
        purpose; it is not judged when the model is given the same tensor, as an autoencoder is. Contrastive losses with several
        positives, whose logits are products of embeddings, are not judged, and neither are rows that sum to one. A 0 that is to
        leave a pair out of `cosine_embedding_loss` is taken for a wrong label when no other label is negative.

    References:
        Bishop, "Pattern Recognition and Machine Learning" (2006), section 5.2: an output function for each kind of target.
    """

    code: ClassVar[str] = "NNG212"
    name: ClassVar[str] = "unreachable-target"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "no weights can produce these targets: the output saturates at its end and the rest of the error stays"
    fix: ClassVar[str] = (
        "return the last linear layer's output without the bounding function, or scale the targets into its range; signs are "
        "`2 * y - 1`; for several labels a row use F.binary_cross_entropy_with_logits"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG232"})

    max_distance: float = threshold(
        0.05, "largest distance of the outer 5 % of the targets from the range, in its widths, or their deviations without a width"
    )
    max_label_distance: float = threshold(
        0.25, "largest distance of a binary cross-entropy's target from [0, 1], which leaves room for noisy labels"
    )
    min_targets: float = threshold(16, "targets that a verdict needs", low=2)
    max_unsigned_share: float = threshold(0, "share of the targets that may be neither -1 nor 1 in a loss of signs", high=1)
    max_multi_share: float = threshold(0, "share of the rows of a cross-entropy's target that may hold several ones", high=1)

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
        if not seen.is_trained or seen.reduction == "none" or seen.is_weighted or seen.num_targets < self.min_targets:
            return None
        if seen.function in _SIGNED:
            return self._signed(seen)
        if seen.function == "cross_entropy":
            return self._over_classes(seen)
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

    def _signed(self, seen: LossCallSeen) -> Finding | None:
        """Judge a loss whose targets are -1 and 1."""
        share = seen.num_unsigned / seen.num_targets
        if seen.target_min < 0 or share <= self.max_unsigned_share:
            return None
        return self.finding(
            seen,
            f"{loss_call(seen)} takes targets of -1 and 1, but {seen.num_unsigned} of {seen.num_targets} are neither (threshold "
            f"{self.max_unsigned_share:g} of them): they lie between {seen.target_min:.3g} and {seen.target_max:.3g}",
            evidence={
                "function": seen.function, "target_min": seen.target_min, "target_max": seen.target_max,
                "num_unsigned": seen.num_unsigned, "num_targets": seen.num_targets, "max_unsigned_share": self.max_unsigned_share,
            },
        )  # fmt: skip

    def _over_classes(self, seen: LossCallSeen) -> Finding | None:
        """Judge a loss whose rows of targets are probabilities."""
        share = seen.num_multi_rows / seen.num_rows
        if share <= self.max_multi_share or not seen.is_input_from_layer or seen.is_target_given:
            return None
        return self.finding(
            seen,
            f"{loss_call(seen)} takes one class a row, or probabilities that sum to 1, but {seen.num_multi_rows} of "
            f"{seen.num_rows} rows of the target hold several ones (threshold {self.max_multi_share:g} of them)",
            evidence={
                "function": seen.function, "num_multi_rows": seen.num_multi_rows, "num_rows": seen.num_rows,
                "max_multi_share": self.max_multi_share,
            },
            severity=Severity.WARNING,
        )  # fmt: skip

    def _width(self, seen: LossCallSeen) -> float:
        if seen.input_low is None or seen.input_high is None:
            return seen.target_std
        return seen.input_high - seen.input_low


def _span(seen: LossCallSeen) -> str:
    low, high = (default if end is None else f"{end:g}" for end, default in ((seen.input_low, "-inf"), (seen.input_high, "inf")))
    return f"the range of {seen.input_function}, [{low}, {high}]"
