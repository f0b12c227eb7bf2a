"""NNG111."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import InputShiftSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class SeparatelyScaledValidation(Rule[InputShiftSeen]):
    """Validation data that were standardised with their own mean and standard deviation.

    What it checks:
        The features that the first layers are given in a validation. Numbers of the training set leave them a mean that is off by
        about 1 / sqrt(n); a mean of 0 and a standard deviation of 1 to the last digits mean that a scaler was fitted on the
        validation set. Training must be standardised, too, and be of another size.

    Why it matters:
        The same value means something else in training and in validation, and a single new sample cannot be scaled like that at
        all. A shift between the sets disappears, so the score is too good or too bad, and nothing shows it.

    How to fix:
        Fit on training, apply to both: `scaler = StandardScaler().fit(x_train)`, then `scaler.transform(x_val)`. Not
        `fit_transform(x_val)`.

    When it is harmless:
        When each subject or device is standardised with its own numbers, in use as well, and validation is one of them. Batches and
        samples that are normalised each by itself are not judged.

    References:
        scikit-learn documentation, "Common pitfalls": inconsistent preprocessing and data leakage.
    """

    code: ClassVar[str] = "NNG111"
    name: ClassVar[str] = "separately-scaled-validation"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the same value means something else in training and in validation"
    fix: ClassVar[str] = "scaler = StandardScaler().fit(x_train); use scaler.transform on both, never fit_transform on validation"

    min_exact_fraction: float = threshold(0.9, "share of the features that are standardised to the last digits", high=1.0)
    min_samples: float = threshold(50, "samples of the validation that a verdict needs", low=2)

    def check(self, seen: InputShiftSeen) -> Finding | None:
        """Judge what one layer is given."""
        if seen.num_validation < self.min_samples or not seen.is_train_standardised:
            return None
        if seen.population is None or seen.population == seen.num_validation or seen.exact_fraction < self.min_exact_fraction:
            return None
        features = f"{seen.exact_fraction:.0%} of {seen.num_features} features" if seen.num_features else "the values"
        return self.finding(
            seen,
            f"{features} of `{seen.path}` have a mean of 0 and a standard deviation of 1 to the last digits over the "
            f"{seen.num_validation} samples of validation (threshold {self.min_exact_fraction:g}); training has {seen.population}",
            evidence={
                "path": seen.path, "exact_fraction": seen.exact_fraction, "min_exact_fraction": self.min_exact_fraction,
                "num_validation": seen.num_validation, "population": seen.population,
            },
        )  # fmt: skip
