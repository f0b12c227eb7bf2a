"""NNG235."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import EqualitySeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class MetricNeverEqual(Rule[EqualitySeen]):
    """Metric that compares labels with numbers that cannot equal them: scores, probabilities, or probabilities cut to integers.

    What it checks:
        Each `==` and `!=` in the audited batches between what the model has made and what the batch holds, when its result is
        averaged or added up. Where the labels are whole numbers, the predictions must be, too. And predictions must not be
        probabilities that were cast to integers unrounded, so that all are 0. Whole labels of a floating type give WARNING.

    Why it matters:
        A fraction never equals a whole number, so the accuracy is 0 however well the model learns. Probabilities cast to integers
        are all 0: the accuracy is the share of class 0. What is monitored by it, such as early stopping, goes by nothing.

    How to fix:
        Compare the index of the largest output, `out.argmax(1) == y` (`torch.max(out, 1)` returns values first, indices second);
        with one output for two classes, `(logits > 0) == y.bool()`; in a regression count what is near,
        `((pred - y).abs() < 0.5)`.

    When it is harmless:
        Never as a metric. Rounded predictions are whole numbers and not reported, nor is an equality whose result is not averaged
        as it is, such as a mask.

    References:
        PyTorch documentation, `torch.max`, `torch.eq` and `torch.Tensor.long`, which rounds towards zero.
    """

    code: ClassVar[str] = "NNG235"
    name: ClassVar[str] = "metric-never-equal"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "such numbers cannot equal a label, so the metric does not tell how well the model does"
    fix: ClassVar[str] = "compare the index of the largest output: out.argmax(1) == y; or a threshold: (logits > 0) == y.bool()"

    max_fractional: float = threshold(0.9, "share of predictions that are no whole numbers", low=0.5, high=1.0)
    min_num_predictions: float = threshold(8, "predictions that a verdict needs", low=2)

    def check(self, seen: EqualitySeen) -> Finding | None:
        """Judge one comparison."""
        if not seen.is_averaged or seen.num_predictions < self.min_num_predictions or seen.label_fractional > 0:
            return None
        if seen.fractional > self.max_fractional:
            what = f"{seen.fractional:.0%} are no whole numbers (threshold {self.max_fractional:.0%})"
        elif seen.squash and seen.low == seen.high == 0:
            what = f"all are 0 (threshold {self.max_fractional:.0%}), since results of {seen.squash} were cast to {seen.dtype}"
        else:
            return None
        at = f" at {seen.source}" if seen.source else ""
        made = f"; they are made by {seen.made_by}" if seen.made_by else ""
        return self.finding(
            seen,
            f"{seen.function}{at} compares {seen.num_predictions} predictions from {seen.low:.3g} to {seen.high:.3g} with labels "
            f"of {seen.label_dtype}: {what}; {seen.num_equal} of {seen.num_pairs} pairs are equal{made}",
            evidence={
                "function": seen.function, "stage": seen.stage, "fractional": seen.fractional,
                "max_fractional": self.max_fractional, "num_predictions": seen.num_predictions, "num_equal": seen.num_equal,
                "low": seen.low, "high": seen.high, "squash": seen.squash,
            },
            severity=Severity.WARNING if seen.label_dtype.startswith(("float", "bfloat", "double")) else None,
        )  # fmt: skip
