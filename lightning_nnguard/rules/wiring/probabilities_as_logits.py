"""NNG208."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log1p
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import loss_call, made_by

#: Functions that make probabilities; "" stands for a call that nobody saw.
_BOUNDED = frozenset({"sigmoid", "softmax", "hardsigmoid", ""})


@dataclass(frozen=True, kw_only=True)
class ProbabilitiesAsLogits(Rule[LossCallSeen]):
    """Probabilities where a loss wants logits: softmax before cross-entropy, sigmoid before BCE-with-logits.

    And logits that a bounded function has cut, with sigmoid, tanh or ReLU between the last layer and cross-entropy.

    What it checks:
        The input of each call of `cross_entropy` and `binary_cross_entropy_with_logits` in the audited batches. Rows that are
        nowhere negative and sum to one are probabilities, and so are values that all lie between 0 and 1. What a linear layer or
        convolution returns must not go through sigmoid, tanh or softsign last, with nothing after it, when the trained loss is
        the cross-entropy of class indices; ReLU there is a warning.

    Why it matters:
        Softmax is applied twice, so gradients shrink, the loss can never come near zero (its floor for ten classes is 1.46), and
        calibration is lost. Accuracy may still reach 96 %, so no curve shows it. Logits between a and b keep the loss of C classes
        above ln(1 + (C - 1) exp(a - b)): 1.46 behind a sigmoid with ten classes, 0.8 behind tanh. Behind ReLU a class whose output
        is below zero gets no gradient, and may never come back.

    How to fix:
        Hand the loss what the last linear layer returns, and take softmax or sigmoid outside of the loss, for predictions only.
        With log-probabilities use `F.nll_loss`.

    When it is harmless:
        Log-probabilities (`log_softmax`) are left as they are by a second softmax: that is only said, at INFO. Bounded scores that
        are scaled, divided by a temperature, pooled or shifted before the loss, and what ReLU returns when the trained loss uses it
        in another way, too, are not judged.

    References:
        PyTorch documentation, `torch.nn.CrossEntropyLoss` and `torch.nn.BCEWithLogitsLoss`; Schoop et al., "UMLAUT" (CHI, 2021).
    """

    code: ClassVar[str] = "NNG208"
    name: ClassVar[str] = "probabilities-as-logits"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the loss applies softmax or sigmoid itself: behind another one gradients shrink and it stays high"
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG232"})
    fix: ClassVar[str] = "pass the output of the last linear layer to the loss; apply softmax or sigmoid for predictions only"

    max_sum_error: float = threshold(1e-3, "largest distance of a row's sum from 1 that is still a probability", low=1e-7, high=0.1)
    min_rows: float = threshold(8, "rows that a verdict needs for losses over classes", low=2)
    min_classes: float = threshold(2, "classes that a verdict on a bounded function needs", low=2)
    min_values: float = threshold(64, "values that a verdict needs for losses of single values", low=8)

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
        if seen.function == "cross_entropy":
            return self._over_classes(seen)
        if seen.function == "nll_loss":
            return self._squashed(seen)
        if seen.function != "binary_cross_entropy_with_logits" or seen.num_values < self.min_values:
            return None
        # The few outputs of a fresh linear layer may all lie between 0 and 1, too: what made them decides.
        if (seen.input_function in _BOUNDED or _is_cut(seen)) and seen.input_min >= 0 and seen.input_max <= 1:
            what = f"{seen.num_values} values all lie between {seen.input_min:.3g} and {seen.input_max:.3g}"
            return self._found(seen, what, num_values=seen.num_values, min_values=self.min_values)
        return None

    def _over_classes(self, seen: LossCallSeen) -> Finding | None:
        return self._probabilities(seen) or self._squashed(seen)

    def _squashed(self, seen: LossCallSeen) -> Finding | None:
        num_classes = seen.num_values // seen.num_rows
        is_index = "int" in seen.target_dtype
        if not seen.squashed_by or not seen.is_trained or not is_index or num_classes < self.min_classes:
            return None
        low, high = seen.squashed_low, seen.squashed_high
        at = f"; made by {seen.squashed_source}" if seen.squashed_source else ""
        evidence: dict[str, float | int | str] = {
            "function": seen.function, "squashed_by": seen.squashed_by, "num_classes": num_classes, "min_classes": self.min_classes,
            "num_rows": seen.num_rows,
        }  # fmt: skip
        if low is not None and high is not None:
            floor = log1p((num_classes - 1) * exp(low - high))
            what = f"so the loss stays above {floor:.3g} whatever is learned"
            evidence["floor"] = floor
        elif seen.is_squashed_shared:
            return None
        else:
            what = "so no logit is below 0, and classes that would be get no gradient"
        given = f"{num_classes} classes (at least {self.min_classes:g}), {seen.num_rows} rows, cut by {seen.squashed_by}"
        message = f"{loss_call(seen)} got logits of {given}, {what}{at}"
        return self.finding(seen, message, evidence=evidence, severity=Severity.WARNING if high is None else None)

    def _probabilities(self, seen: LossCallSeen) -> Finding | None:
        if seen.max_sum_error is None or seen.max_log_sum_error is None or seen.num_rows < self.min_rows:
            return None
        if seen.input_min >= 0 and seen.max_sum_error <= self.max_sum_error and seen.num_values > seen.num_rows:
            what = f"{seen.num_rows} rows sum to 1 within {seen.max_sum_error:.1e} (threshold {self.max_sum_error:g})"
            return self._found(seen, what, num_rows=seen.num_rows, min_rows=self.min_rows)
        if seen.input_function == "log_softmax" and seen.max_log_sum_error <= self.max_sum_error:
            what = f"{seen.num_rows} rows are log-probabilities already (threshold {self.max_sum_error:g})"
            return self._found(seen, what, severity=Severity.INFO, num_rows=seen.num_rows, min_rows=self.min_rows)
        return None

    def _found(self, seen: LossCallSeen, what: str, *, severity: Severity | None = None, **numbers: float) -> Finding:
        evidence: dict[str, float | int | str] = {
            "function": seen.function, "input_function": seen.input_function, "input_min": seen.input_min,
            "input_max": seen.input_max, "max_sum_error": self.max_sum_error, **numbers,
        }  # fmt: skip
        message = f"{loss_call(seen)} got probabilities: {what}{made_by(seen)}"
        return self.finding(seen, message, evidence=evidence, severity=severity)


def _is_cut(seen: LossCallSeen) -> bool:
    """Return whether the input can only lie between 0 and 1, as after `clamp(0, 1)`."""
    return seen.input_low is not None and seen.input_high is not None and 0 <= seen.input_low <= seen.input_high <= 1
