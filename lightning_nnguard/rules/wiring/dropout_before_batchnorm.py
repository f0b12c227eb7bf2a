"""NNG215."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import NormCallSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class DropoutBeforeBatchnorm(Rule[NormCallSeen]):
    """Dropout whose output a batch norm sees.

    What it checks:
        Each batch norm of the first batch that uses batch statistics, and the nearest dropout before it, with layers, activations
        and pooling between, but no sum, product or other normalisation. Dropout with rate p multiplies the variance of a centred
        input by 1 / (1 - p) in training, and leaves it in evaluation; that factor must not exceed 1.2.

    Why it matters:
        Running statistics hold the variance of training. In evaluation the variance is smaller, so that what comes out of the norm
        is scaled wrongly, and validation is worse than the model is.

    How to fix:
        Move dropout behind the last batch norm, or lower its rate.

    When it is harmless:
        When validation is no worse than training without it; many published networks do it. Alpha dropout keeps the variance and is
        not judged.

    References:
        Li et al., "Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift" (CVPR, 2019).
    """

    code: ClassVar[str] = "NNG215"
    name: ClassVar[str] = "dropout-before-batchnorm"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "running statistics hold the larger variance that dropout makes in training; evaluation is scaled wrongly"
    fix: ClassVar[str] = "move dropout behind the last batch norm, or lower its rate"

    max_variance_ratio: float = threshold(1.2, "largest healthy factor by which dropout raises the variance in training", low=1)

    def check(self, seen: NormCallSeen) -> Finding | None:
        """Judge one call of batch norm."""
        if seen.function != "batch_norm" or not seen.uses_batch or not seen.dropout:
            return None
        ratio = 1 / (1 - seen.dropout_rate) if seen.dropout_rate < 1 else None
        if ratio is not None and ratio <= self.max_variance_ratio:
            return None
        grows = f"{ratio:.2f}x the variance in training" if ratio is not None else "everything dropped in training"
        at = f"; {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"batch norm sees dropout `{seen.dropout}` with rate {seen.dropout_rate:g}: {grows} (threshold "
            f"{self.max_variance_ratio:g}x, 1 batch{at})",
            evidence={
                "dropout": seen.dropout,
                "dropout_rate": seen.dropout_rate,
                "num_layers_between": seen.num_layers_between,
                "max_variance_ratio": self.max_variance_ratio,
            },
        )
