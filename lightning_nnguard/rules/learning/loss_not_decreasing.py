"""NNG703."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class LossNotDecreasing(Rule[LossSeen]):
    """Training loss that does not fall below chance.

    What it checks:
        The mean of the latest 128 training losses against its chance level: the loss of the best constant prediction
        (the entropy of the labels, or the variance of the targets). It must be above 0.98 of that by more than two
        standard errors, those of the mean and of the estimated level together, after 200 steps, on two sampled steps
        in a row, while the loss no longer falls (by 1 % in 128 steps). Judged only when the loss call was recognised.
        An epoch does not suffice, as the catalogue once had it: many healthy runs need more steps than a small epoch
        has to leave chance.

    Why it matters:
        A constant would do as well, so the model uses nothing of its input.

    How to fix:
        Try to overfit one batch. If that fails, look at the wiring of loss and optimizer; if it succeeds, change the
        learning rate tenfold in both directions and check that inputs and labels belong together.

    When it is harmless:
        When the task has a long plateau, such as large vocabularies, or is known to be almost noise. While the learning
        rate still rises (warm-up) it is not judged.

    References:
        Karpathy, "A Recipe for Training Neural Networks" (2019). Measured on 200 runs: no alarm on 86 healthy runs; it
        catches 58 of 81 too low and 27 of 33 too high learning rates.
    """

    code: ClassVar[str] = "NNG703"
    name: ClassVar[str] = "loss-not-decreasing"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "a constant prediction would do as well, so the model uses nothing of its input"
    fix: ClassVar[str] = (
        "overfit one batch first; then change the learning rate tenfold and check that inputs and labels belong together"
    )
    patience: ClassVar[int] = 2
    explained_by: ClassVar[frozenset[str]] = frozenset({
        "NNG101", "NNG102", "NNG103", "NNG104", "NNG106", "NNG118", "NNG203", "NNG205", "NNG207", "NNG208", "NNG210", "NNG211",
        "NNG212", "NNG213", "NNG217", "NNG221", "NNG222", "NNG227", "NNG230", "NNG231", "NNG232", "NNG237", "NNG238", "NNG301",
        "NNG302", "NNG303", "NNG304", "NNG306", "NNG401", "NNG402", "NNG404", "NNG405", "NNG501", "NNG502", "NNG503", "NNG504",
        "NNG505", "NNG506", "NNG507", "NNG508", "NNG509", "NNG510", "NNG513", "NNG514", "NNG702", "NNG704", "NNG712",
    })  # fmt: skip

    max_loss: float = threshold(0.98, "largest healthy mean of the latest losses, as a share of chance")
    max_error: float = threshold(2, "standard errors by which the mean must be above that")
    min_num_steps: float = threshold(200, "steps after which the loss is judged", low=1)

    def check(self, seen: LossSeen) -> Finding | None:
        """Judge the latest losses against chance."""
        if seen.chance is None or seen.chance <= 0 or seen.in_warmup or seen.num_steps < self.min_num_steps or seen.is_falling:
            return None
        mean, num = fmean(seen.recent), len(seen.recent)
        error = math.hypot(pstdev(seen.recent) / math.sqrt(num), seen.chance_error)
        if mean - self.max_error * error <= self.max_loss * seen.chance:
            return None
        return self.finding(
            seen,
            f"mean of the latest {num} losses is {mean:.3g} after {seen.num_steps} steps, {mean / seen.chance:.3g} of its chance "
            f"level {seen.chance:.3g} (threshold {self.max_loss:g}; standard error {error:.2g})",
            evidence={
                "mean": mean,
                "error": error,
                "chance": seen.chance,
                "first": seen.first,
                "max_loss": self.max_loss,
                "num_steps": seen.num_steps,
            },
        )
