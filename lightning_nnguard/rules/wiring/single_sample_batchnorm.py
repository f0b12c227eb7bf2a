"""NNG220."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import NormCallSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class SingleSampleBatchnorm(Rule[NormCallSeen]):
    """Batch norm over so few values that they say nothing.

    What it checks:
        How many values each channel of a batch norm has in a training batch, samples times positions. From two values a channel it
        makes -1 and 1, whatever they were.

    Why it matters:
        All information but the sign is lost, and running statistics are those of noise, so that evaluation is worse than training.
        One value a channel raises an error in PyTorch.

    How to fix:
        Train with larger batches, or use `nn.GroupNorm` or `nn.LayerNorm`, which do not depend on the batch; over several
        processes, `Trainer(sync_batchnorm=True)`.

    When it is harmless:
        Never for learning; freeze the statistics with `.eval()` when the batch cannot grow. The short last batch of an epoch is not
        judged.

    References:
        Wu and He, "Group Normalization" (ECCV, 2018): the error of batch norm grows fast below batches of 16.
    """

    code: ClassVar[str] = "NNG220"
    name: ClassVar[str] = "single-sample-batchnorm"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "from two values batch norm makes -1 and 1, whatever they were"
    fix: ClassVar[str] = "use larger batches, or nn.GroupNorm or nn.LayerNorm in place of batch norm; Trainer(sync_batchnorm=True)"

    min_num_values: float = threshold(3, "values a channel that batch norm needs", low=2)

    def check(self, seen: NormCallSeen) -> Finding | None:
        """Judge one call of batch norm."""
        if seen.function != "batch_norm" or not seen.uses_batch or seen.is_short or seen.num_values >= self.min_num_values:
            return None
        at = f"; {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"batch norm over {seen.num_values} value{'s' if seen.num_values > 1 else ''} a channel in training (at least "
            f"{self.min_num_values:g}, {seen.num_channels} channels, 1 batch{at})",
            evidence={
                "num_values": seen.num_values,
                "num_channels": seen.num_channels,
                "min_num_values": self.min_num_values,
            },
        )
