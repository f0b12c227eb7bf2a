"""NNG104."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ConstantInputSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class ConstantInput(Rule[ConstantInputSeen]):
    """Inputs that are the same for each sample of a batch, while the targets are not.

    What it checks:
        What the first layers are given on sampled steps, after all that the step does to the batch. All samples of each of these
        batches must not be alike in everything that the model takes in while their targets differ. Tables of which more than half
        of the columns are constant over 1,000 samples are mentioned at INFO.

    Why it matters:
        Nothing can be learnt but the average target. The usual causes: integer division (`image // 255`), a loader that fills an
        array and hands out its zeros, an index that is not used (`self.images[0]`), a cast that rounds to 0.

    How to fix:
        Look at two samples of the data set, and at `x` where the first layer is called: `(x != x[:1]).any()`. Divide with
        `x.float() / 255`.

    When it is harmless:
        Where targets are alike, too, as in fitting a single sample, and where something else in the batch differs that may reach
        the model by another way, such as the edges of a graph. Columns that are constant do nothing; in sparse tables, where most
        values are 0, they are words or categories that were not drawn.

    References:
        Schoop et al., "UMLAUT" (CHI, 2021) on checks of the input.
    """

    code: ClassVar[str] = "NNG104"
    name: ClassVar[str] = "constant-input"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "nothing but the average target can be learnt from it"
    fix: ClassVar[str] = "look at two samples where the first layer is called; divide with x.float() / 255, not with //"

    min_batches: float = threshold(5, "batches that all must show it", low=1)
    max_constant_fraction: float = threshold(0.5, "largest healthy share of constant columns", high=1.0)
    min_samples: float = threshold(1000, "samples that a verdict on columns needs", low=2)
    min_features: float = threshold(8, "columns of the smallest table that is judged", low=2)
    max_zero_fraction: float = threshold(0.5, "share of zeros in the other columns from which on a table is sparse", high=1.0)

    def check(self, seen: ConstantInputSeen) -> Finding | None:
        """Judge the samples that one layer was given."""
        if seen.num_batches >= self.min_batches and seen.num_telling == seen.num_batches:
            what = (
                f"is the same for all samples of a batch, in {seen.num_batches} of {seen.num_batches} batches looked at "
                f"(threshold {self.min_batches:g}), while their targets differ ({seen.num_samples} samples)"
            )
            return self._found(seen, what)
        if seen.num_features < self.min_features or seen.num_samples < self.min_samples:
            return None
        if seen.num_constant <= self.max_constant_fraction * seen.num_features or seen.zero_fraction >= self.max_zero_fraction:
            return None
        what = (
            f"has {seen.num_constant} columns of {seen.num_features} that are constant over {seen.num_samples} samples "
            f"(threshold {self.max_constant_fraction:g})"
        )
        return self._found(seen, what, Severity.INFO)

    def _found(self, seen: ConstantInputSeen, what: str, severity: Severity | None = None) -> Finding:
        return self.finding(
            seen,
            f"`{seen.path}` {what}",
            severity=severity,
            evidence={
                "path": seen.path, "num_batches": seen.num_batches, "num_alike": seen.num_alike, "min_batches": self.min_batches,
                "num_features": seen.num_features, "num_constant": seen.num_constant,
                "max_constant_fraction": self.max_constant_fraction, "num_samples": seen.num_samples,
            },
        )  # fmt: skip
