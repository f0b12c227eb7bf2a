"""NNG110."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import InputShiftSeen
from lightning_nnguard.rules.rule import Rule, threshold

#: Standard errors that a difference must exceed its threshold by.
_ERRORS = 4
_SMALLEST = 1e-9


@dataclass(frozen=True, kw_only=True)
class TrainValShift(Rule[InputShiftSeen]):
    """Validation inputs on another scale than those of training: one of the two was not prepared like the other.

    What it checks:
        What the first layers are given in validation and on sampled steps of training, after all that the two steps do to their
        batches: the distance of the means in standard deviations of training, and the ratio of the standard deviations. For tables
        and sequences it takes the median over features, so that a single feature does not decide. Both differences must exceed
        their thresholds by four standard errors, which come from the differences between batches, and in two validations.

    Why it matters:
        The model is judged on data that it was not trained for. A normalisation that stands in `training_step` or in the training
        transform alone makes validation scores meaningless, and they choose the checkpoint.

    How to fix:
        Give both sets one transform with numbers of the training set, or put it where both steps pass: into `forward`, or into
        `on_after_batch_transfer`.

    When it is harmless:
        When validation is another domain on purpose, or a later period of a series that moves: then the score is one of
        extrapolation. So a shift of up to three standard deviations, and a ratio of up to 2.5, are only said, at INFO. Common
        augmentation of training stays below both thresholds. In sparse tables the values are compared as a whole.

    References:
        Breck et al., "Data Validation for Machine Learning" (SysML, 2019); Quionero-Candela et al., "Dataset Shift in Machine
        Learning" (2009).
    """

    code: ClassVar[str] = "NNG110"
    name: ClassVar[str] = "train-val-shift"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the model is judged on inputs that it was not trained for"
    fix: ClassVar[str] = "prepare both sets alike: one transform with the training set's numbers, in forward or for both loaders"
    patience: ClassVar[int] = 2

    max_shift: float = threshold(0.5, "largest healthy distance of the means, in standard deviations of training")
    max_quiet_shift: float = threshold(3.0, "the same distance, up to which it is only mentioned")
    max_std_ratio: float = threshold(2.0, "largest healthy ratio of the standard deviations, the larger to the smaller", low=1.0)
    max_quiet_std_ratio: float = threshold(2.5, "the same ratio, up to which it is only mentioned", low=1.0)
    min_samples: float = threshold(500, "samples of either set that a mention needs", low=2)
    min_few_samples: float = threshold(100, "samples of either set that a difference beyond what is only mentioned needs", low=2)

    def check(self, seen: InputShiftSeen) -> Finding | None:
        """Judge what one layer is given."""
        num_samples = min(seen.num_train, seen.num_validation)
        if num_samples < self.min_few_samples or seen.train_std <= 0:
            return None
        shift = seen.shift - _ERRORS * seen.shift_error
        ratio = max(seen.std_ratio, 1 / max(seen.std_ratio, _SMALLEST)) / (1 + _ERRORS * seen.std_ratio_error)
        if ratio > self.max_std_ratio:
            what = f"{seen.std_ratio:.3g} times the standard deviation (threshold {self.max_std_ratio:g})"
        elif shift > self.max_shift:
            what = f"a mean {seen.shift:.3g} standard deviations away (threshold {self.max_shift:g})"
        else:
            return None
        severity = None if ratio > self.max_quiet_std_ratio or shift > self.max_quiet_shift else Severity.INFO
        if severity is Severity.INFO and num_samples < self.min_samples:
            return None
        over = f", median over {seen.num_features} features," if seen.num_features else ""
        return self.finding(
            seen,
            f"in validation `{seen.path}` has {what}{over} of that in training: {seen.validation_mean:.3g} +- "
            f"{seen.validation_std:.3g} over {seen.num_validation} samples, {seen.train_mean:.3g} +- {seen.train_std:.3g} over "
            f"{seen.num_train}",
            severity=severity,
            evidence={
                "path": seen.path, "shift": seen.shift, "max_shift": self.max_shift, "shift_error": seen.shift_error,
                "std_ratio": seen.std_ratio, "max_std_ratio": self.max_std_ratio, "num_train": seen.num_train,
                "num_validation": seen.num_validation,
            },
        )  # fmt: skip
