"""NNG707."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import GapSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class OverfittingGap(Rule[GapSeen]):
    """Validation loss that rises while training loss falls.

    What it checks:
        The validation loss of the last three evaluations against its minimum, which must lie before them. All three
        must be above it by more than 0.1 of it and by more than the noise between evaluations, while the training loss
        is below what it was at that minimum. It is INFO as long as the rise is no more than 0.1 of what had been gained
        until the minimum (since chance when that is known, else since the first values of both curves): the small loss
        of a good model creeps up by a tenth in most healthy runs.

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
        Prechelt, "Early Stopping - But When?" (1998).
    """

    code: ClassVar[str] = "NNG707"
    name: ClassVar[str] = "overfitting-gap"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "what is learned since the minimum holds for the training data only"
    fix: ClassVar[str] = "restore the checkpoint of the minimum and stop early; add data, augmentation, dropout or weight decay"

    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG710"})

    max_rise: float = threshold(0.1, "largest healthy rise of the validation loss above its minimum, as a share of it")
    max_lost: float = threshold(0.1, "largest rise that is INFO only, as a share of what had been gained until the minimum")
    max_noise: float = threshold(1, "largest healthy rise, in deviations of a single evaluation")
    min_num_evaluations: float = threshold(3, "latest evaluations that must all show that rise", low=1)

    def check(self, seen: GapSeen) -> Finding | None:
        """Judge the latest evaluations against the best one."""
        num_latest = int(self.min_num_evaluations)
        if seen.mode != "min" or len(seen.validation) <= num_latest:
            return None
        minimum = min(seen.validation)
        best = seen.validation.index(minimum)
        latest = min(seen.validation[-num_latest:])
        gained = max(seen.validation[0], seen.train[0] if seen.chance is None else seen.chance) - minimum
        bound = minimum + max(self.max_rise * abs(minimum), self.max_noise * seen.noise)
        if latest <= bound or minimum == 0 or seen.train[-1] >= seen.train[best]:
            return None
        rise = (latest - minimum) / abs(minimum)
        return self.finding(
            seen,
            severity=Severity.INFO if latest <= minimum + self.max_lost * gained else None,
            message=f"{seen.validation_name} is {seen.validation[-1]:.3g}, above its minimum {minimum:.3g} by at least "
            f"{rise:.2f} of it for {num_latest} evaluations (threshold {(bound - minimum) / abs(minimum):.2g}), "
            f"while {seen.train_name} fell from {seen.train[best]:.3g} to {seen.train[-1]:.3g}; "
            f"best evaluation {best + 1} of {len(seen.validation)}",
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
                "num_evaluations": len(seen.validation),
            },
        )
