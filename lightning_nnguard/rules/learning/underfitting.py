"""NNG708."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import GapSeen
from lightning_nnguard.rules.rule import Rule, threshold


def relative_change(values: tuple[float, ...]) -> float:
    """Return the range of `values` as a share of the size of their mean; 0 when all are equal."""
    spread = max(values) - min(values)
    return spread / max(abs(sum(values) / len(values)), spread) if spread else 0.0


@dataclass(frozen=True, kw_only=True)
class Underfitting(Rule[GapSeen]):
    """Training that ends flat and near chance.

    What it checks:
        At the end of training: the training and the validation loss both change by less than 0.02 of their mean over
        the last half of the evaluations, and the training loss is above 0.9 of its chance level.

    Why it matters:
        The model has learned little more than a constant prediction, and more epochs would not help.

    How to fix:
        Use a larger model, a higher learning rate, less regularisation or better features; first see whether the model
        overfits one batch.

    When it is harmless:
        When the data hold little signal, such as noisy financial series.

    References:
        Goodfellow et al., "Deep Learning" (2016), section 5.2; Karpathy, "A Recipe for Training Neural Networks"
        (2019).
    """

    code: ClassVar[str] = "NNG708"
    name: ClassVar[str] = "underfitting"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "the model has learned little more than a constant prediction, and more epochs would not help"
    fix: ClassVar[str] = "use a larger model, a higher learning rate, less regularisation or better features"
    explained_by: ClassVar[frozenset[str]] = frozenset({
        "NNG101", "NNG118", "NNG203", "NNG205", "NNG207", "NNG208", "NNG210", "NNG211", "NNG212", "NNG232", "NNG233", "NNG303",
        "NNG401", "NNG404", "NNG502", "NNG503", "NNG504", "NNG505", "NNG506", "NNG507", "NNG508", "NNG509", "NNG510", "NNG513",
        "NNG702", "NNG703", "NNG704", "NNG712",
    })  # fmt: skip

    max_loss: float = threshold(0.9, "largest healthy training loss at the end, as a share of chance")
    min_change: float = threshold(0.02, "smallest change over the last half of a curve that is not flat, as a share of its mean")
    min_num_evaluations: float = threshold(4, "evaluations that must be known", low=2)

    def check(self, seen: GapSeen) -> Finding | None:
        """Judge both curves at the end of training."""
        if not seen.final or seen.mode != "min" or seen.chance is None or seen.chance <= 0:
            return None
        num_evaluations = len(seen.train)
        if num_evaluations < self.min_num_evaluations or seen.train[-1] <= self.max_loss * seen.chance:
            return None
        half = num_evaluations // 2
        change = max(relative_change(seen.train[half:]), relative_change(seen.validation[half:]))
        if change >= self.min_change:
            return None
        return self.finding(
            seen,
            f"{seen.train_name} ends at {seen.train[-1]:.3g}, {seen.train[-1] / seen.chance:.2f} of its chance level "
            f"{seen.chance:.3g} (threshold {self.max_loss:g}); both curves changed by at most {change:.3f} over the "
            f"last {num_evaluations - half} of {num_evaluations} evaluations",
            evidence={
                "train": seen.train[-1],
                "validation": seen.validation[-1],
                "chance": seen.chance,
                "max_loss": self.max_loss,
                "change": change,
                "min_change": self.min_change,
                "num_evaluations": num_evaluations,
            },
        )
