"""NNG502."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import UpdateProfileSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class UpdateTooSmall(Rule[UpdateProfileSeen]):
    """Updates too small to change any weight matrix.

    What it checks:
        The largest, over all weight matrices, of the median of norm(update) / norm(weight), over at least 50 steps,
        where the update is what the optimizer really did. While the run is learning the finding is INFO.

    Why it matters:
        At this pace the weights need more than 10 000 steps to change by their own size, so the run spends its budget
        without learning.

    How to fix:
        Raise the learning rate, tenfold at a time; healthy ratios lie around 1e-3. Check that a scheduler does not
        start at, or has already decayed to, almost zero, and that the loss is not scaled down.

    When it is harmless:
        In warm-up and when some weights are frozen for fine-tuning (not judged), and at the end of a schedule.

    References:
        Stanford CS231n, "Ratio of weights:updates". Measured on 200 runs: it catches 50 of 81 too low learning rates,
        with no alarm on 86 healthy runs.
    """

    code: ClassVar[str] = "NNG502"
    name: ClassVar[str] = "update-too-small"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "at this pace the weights do not change within the run, so nothing is learned"
    fix: ClassVar[str] = "raise the learning rate tenfold, and check that the scheduler does not start or end near 0"
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({
        "NNG101", "NNG203", "NNG205", "NNG207", "NNG212", "NNG222", "NNG301", "NNG303", "NNG304", "NNG401", "NNG402", "NNG405",
        "NNG503", "NNG505", "NNG506", "NNG507", "NNG509", "NNG513", "NNG702",
    })  # fmt: skip

    min_ratio: float = threshold(1e-4, "smallest healthy value of the model's largest median of norm(update) / norm(weight)")
    min_span: float = threshold(50, "steps that the medians must cover")

    def check(self, seen: UpdateProfileSeen) -> Finding | None:
        """Judge the weight matrix that moves most."""
        if seen.in_warmup or seen.partly_frozen or seen.span < self.min_span or not seen.ratios:
            return None
        ratio = max(seen.ratios)
        if ratio >= self.min_ratio:
            return None
        parameter = seen.parameters[seen.ratios.index(ratio)]
        return self.finding(
            seen,
            f"largest update of {len(seen.ratios)} weight matrices is {ratio:.1e} of the weight ({parameter}; "
            f"threshold {self.min_ratio:.0e}, median of {seen.num_samples} sampled steps over {seen.span} steps)",
            evidence={
                "ratio": ratio,
                "min_ratio": self.min_ratio,
                "parameter": parameter,
                "num_parameters": len(seen.ratios),
                "num_samples": seen.num_samples,
                "span": seen.span,
            },
        )
