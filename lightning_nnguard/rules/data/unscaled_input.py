"""NNG102."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LayerInputSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import layer_input

#: A deviation that is so small a share of the mean is no scale: the input is constant.
_CONSTANT = 1e-6


@dataclass(frozen=True, kw_only=True)
class UnscaledInput(Rule[LayerInputSeen]):
    """Inputs on a scale that fresh weights are not made for: pixels from 0 to 255, incomes in dollars, years.

    What it checks:
        What the first trained layers (linear, convolution, recurrent) are given in the audited batches of training, after all that
        the step does to the batch: the standard deviation of all values, and their mean in standard deviations. Features whose
        standard deviations lie far apart are mentioned at INFO.

    Why it matters:
        Initialisations assume inputs of about unit size. Larger ones make outputs, gradients and the loss larger by as much, so the
        learning rate that fits is smaller by their square, and rectifiers die. A large mean moves all units together.

    How to fix:
        Scale with numbers of the training set: `x = x / 255` and `transforms.Normalize(mean, std)` for images,
        `StandardScaler().fit(x_train)` for tables. For sums and counts take `torch.log1p(x)` first.

    When it is harmless:
        When a normalisation follows the layer at once, the scale is taken out again: that is only said, at INFO. Whatever is
        normalised before the first trained layer, by a module or by arithmetic, is judged as that layer gets it. Integers that go
        into an embedding are not judged.

    References:
        LeCun et al., "Efficient BackProp" (1998), section 4.3; He et al., "Delving Deep into Rectifiers" (ICCV, 2015).
    """

    code: ClassVar[str] = "NNG102"
    name: ClassVar[str] = "unscaled-input"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "fresh weights expect inputs of unit size: outputs and gradients are larger by orders of magnitude"
    fix: ClassVar[str] = "scale with the training set's numbers: x = (x - mean) / std, or x = x / 255 for images"

    max_std: float = threshold(30.0, "largest healthy standard deviation of a layer's input")
    max_offset: float = threshold(10.0, "largest healthy distance of the input's mean from 0, in its standard deviations")
    min_mean: float = threshold(10.0, "smallest mean, regardless of its sign, that is far from 0")
    max_spread: float = threshold(1e3, "largest healthy ratio of the largest to the median standard deviation of the features")
    min_features: float = threshold(4, "features that are not constant, for that ratio", low=2)
    min_values: float = threshold(256, "values that a verdict needs", low=2)
    min_few_values: float = threshold(64, "values that suffice where the standard deviation is larger by far", low=2)
    min_few_ratio: float = threshold(3.0, "what is larger by far, in largest healthy standard deviations", low=1.0)

    def check(self, seen: LayerInputSeen) -> Finding | None:
        """Judge the input of one layer."""
        std, mean = seen.std, abs(seen.mean)
        least = self.min_few_values if std > self.min_few_ratio * self.max_std else self.min_values
        if seen.num_values < least or std <= _CONSTANT * mean or std == 0:
            return None
        quiet = Severity.INFO if seen.is_normalised_next else None
        if std > self.max_std:
            what = f"a standard deviation of {std:.3g} (threshold {self.max_std:g}) around a mean of {seen.mean:.3g}"
        elif mean > max(self.max_offset * std, self.min_mean):
            what = f"a mean of {seen.mean:.3g}, {mean / std:.3g} standard deviations from 0 (threshold {self.max_offset:g})"
        elif seen.num_features >= self.min_features and seen.max_feature_std > self.max_spread * seen.median_feature_std:
            ratio = seen.max_feature_std / seen.median_feature_std
            what = (
                f"{seen.num_features} features of which the widest has {ratio:.3g} times the median standard deviation "
                f"(threshold {self.max_spread:g})"
            )
            quiet = Severity.INFO
        else:
            return None
        return self.finding(
            seen,
            f"{layer_input(seen)} has {what} over {seen.num_values} values",
            severity=quiet,
            evidence={
                "path": seen.path, "mean": seen.mean, "std": std, "max_std": self.max_std, "max_offset": self.max_offset,
                "max_feature_std": seen.max_feature_std, "median_feature_std": seen.median_feature_std,
                "num_values": seen.num_values,
            },
        )  # fmt: skip
