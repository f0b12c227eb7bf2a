"""NNG707."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import GapSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class OverfittingGap(Rule[GapSeen]):
    """Validation loss that rises while training loss falls.

    What it checks:
        The validation loss of the last three evaluations, or of the last tenth of them if that is more, against its minimum, which
        must lie before them. All of them must be above it by more than 0.1 of it and by more than the noise between evaluations
        accounts for, while the training loss is below what it was at that minimum. The least of n independent values lies
        sqrt(2 ln n) deviations below their mean; n is a third of the evaluations here, as three in a row are asked for, and one
        deviation at least is allowed. It is INFO as long as the rise is no more than 0.1 of what had been gained until the minimum
        (since chance when that is known, even roughly, else since the first values of both curves): the small loss of a good model
        creeps up by a tenth in most healthy runs.

    Why it matters:
        What is learned since then holds for the training data only. Every further epoch makes the model worse on new
        data.

    How to fix:
        Go back to the checkpoint of the minimum (`ModelCheckpoint(monitor=...)`, `EarlyStopping`), then add data,
        augmentation, dropout or weight decay, or use a smaller model.

    When it is harmless:
        When another metric decides: accuracy may still rise while the cross-entropy of over-confident predictions
        grows.

    References:
        Prechelt, "Early Stopping - But When?" (1998); Cramér, "Mathematical Methods of Statistics" (1946), section 28.6 (extremes).
    """

    code: ClassVar[str] = "NNG707"
    name: ClassVar[str] = "overfitting-gap"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "what is learned since the minimum holds for the training data only"
    fix: ClassVar[str] = "restore the checkpoint of the minimum and stop early; add data, augmentation, dropout or weight decay"

    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG120", "NNG213", "NNG607", "NNG710"})

    max_rise: float = threshold(0.1, "largest healthy rise of the validation loss above its minimum, as a share of it")
    max_lost: float = threshold(0.1, "largest rise that is INFO only, as a share of what had been gained until the minimum")
    max_noise: float = threshold(1, "largest healthy rise, in deviations by which the least of so many values is low by chance")
    min_num_evaluations: float = threshold(3, "latest evaluations that must all show that rise", low=1)

    def check(self, seen: GapSeen) -> Finding | None:
        """Judge the latest evaluations against the best one."""
        num = len(seen.validation)
        num_latest = max(int(self.min_num_evaluations), num // 10)
        if seen.mode != "min" or num <= num_latest:
            return None
        minimum = min(seen.validation)
        extreme = max(1.0, sqrt(2 * log(max(num / 3, 1))))
        best = seen.validation.index(minimum)
        latest = min(seen.validation[-num_latest:])
        gained = max(seen.validation[0], seen.train[0] if seen.rough_chance is None else seen.rough_chance) - minimum
        bound = minimum + max(self.max_rise * abs(minimum), self.max_noise * extreme * seen.noise)
        if latest <= bound or minimum == 0 or seen.train[-1] >= seen.train[best]:
            return None
        rise = (latest - minimum) / abs(minimum)
        return self.finding(
            seen,
            severity=Severity.INFO if latest <= minimum + self.max_lost * gained else None,
            message=f"{seen.validation_name} is {seen.validation[-1]:.3g}, above its minimum {minimum:.3g} by at least "
            f"{rise:.2f} of it for {num_latest} evaluations (threshold {(bound - minimum) / abs(minimum):.2g}), "
            f"while {seen.train_name} fell from {seen.train[best]:.3g} to {seen.train[-1]:.3g}; "
            f"best evaluation {best + 1} of {num}",
            evidence={
                "validation": seen.validation[-1],
                "validation_min": minimum,
                "rise": rise,
                "max_rise": self.max_rise,
                "max_validation": bound,
                "gained": gained,
                "max_lost": self.max_lost,
                "noise": seen.noise,
                "train": seen.train[-1],
                "train_at_min": seen.train[best],
                "best_evaluation": best + 1,
                "num_evaluations": num,
            },
        )
