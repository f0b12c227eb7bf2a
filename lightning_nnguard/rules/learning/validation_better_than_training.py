"""NNG709."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import GapSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class ValidationBetterThanTraining(Rule[GapSeen]):
    """Validation loss well below training loss without regularisation.

    What it checks:
        The validation loss against the training loss of the last three evaluations, when no dropout or other noise was
        seen in training.

    Why it matters:
        Nothing in training makes its loss larger, so the validation data are easier: too few, selected, or also in the
        training data. Then the metric promises too much.

    How to fix:
        Check the split for duplicates, groups and time, the size of the validation set, and that both losses are
        computed and reduced in the same way.

    When it is harmless:
        With augmentation or mixup, which the guard may not see, and in early epochs, in which the training loss is a
        mean over weights that still improve.

    References:
        Keras FAQ, "Why is my training loss much higher than my testing loss?".
    """

    code: ClassVar[str] = "NNG709"
    name: ClassVar[str] = "validation-better-than-training"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "the validation data are easier than the training data, so the metric may promise too much"
    fix: ClassVar[str] = (
        "check the split for duplicates and selection, the validation size, and that both losses are computed alike"
    )

    min_ratio: float = threshold(0.8, "smallest healthy validation loss, as a share of the training loss", high=1.0)
    min_num_evaluations: float = threshold(3, "latest evaluations that must all show it", low=1)

    def check(self, seen: GapSeen) -> Finding | None:
        """Judge the latest evaluations."""
        latest = list(zip(seen.train, seen.validation, strict=True))[-int(self.min_num_evaluations) :]
        if seen.mode != "min" or seen.regularised or len(latest) < self.min_num_evaluations:
            return None
        if any(train <= 0 or validation <= 0 for train, validation in latest):
            return None
        ratio = max(validation / train for train, validation in latest)
        if ratio >= self.min_ratio:
            return None
        return self.finding(
            seen,
            f"{seen.validation_name} is {seen.validation[-1]:.3g} and {seen.train_name} is {seen.train[-1]:.3g}: "
            f"at most {ratio:.2f} of it for {len(latest)} evaluations (threshold {self.min_ratio:g})",
            evidence={
                "validation": seen.validation[-1],
                "train": seen.train[-1],
                "ratio": ratio,
                "min_ratio": self.min_ratio,
                "num_evaluations": len(latest),
            },
        )
