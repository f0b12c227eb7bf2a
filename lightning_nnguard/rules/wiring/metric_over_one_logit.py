"""NNG229."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ChoiceSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class MetricOverOneLogit(Rule[ChoiceSeen]):
    """Choice of the largest of one value: `argmax` over the single output of a layer.

    What it checks:
        Each `argmax`, `max(dim)` and `topk` along a dimension, in the audited batches. When that dimension holds the outputs of a
        linear layer or convolution, there must be more than one. `max` and `topk` count only when their indices are compared with
        something; so does `argmax`, unless it gives one index for each sample or pixel of the batch.

    Why it matters:
        The index of the largest of one value is 0 for every sample. The metric is the share of class 0, and does not move whatever
        the model learns.

    How to fix:
        With one output a class is a threshold: `pred = (logits.squeeze(1) > 0).long()`. Or give the last layer one output for each
        class and train with `F.cross_entropy`.

    When it is harmless:
        For detectors of a single class, whose label is always 0.

    References:
        PyTorch documentation, `torch.argmax` and `torch.nn.BCEWithLogitsLoss`.
    """

    code: ClassVar[str] = "NNG229"
    name: ClassVar[str] = "metric-over-one-logit"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the index of the largest of one value is always 0, so the metric is the share of class 0"
    fix: ClassVar[str] = "with one logit predict (logits.squeeze(1) > 0).long(), or give the last layer one output for each class"

    min_num_values: float = threshold(2, "values that there are to choose from", low=2)

    def check(self, seen: ChoiceSeen) -> Finding | None:
        """Judge one choice."""
        num = seen.shape[seen.dim]
        if num >= self.min_num_values or seen.dim != seen.channel_dim or not (seen.is_compared or self._is_for_each_sample(seen)):
            return None
        at = f" at {seen.source}" if seen.source else ""
        shape = "x".join(map(str, seen.shape))
        return self.finding(
            seen,
            f"{seen.function}{at} chooses among {num} value{'s' if num > 1 else ''} (at least {self.min_num_values:g}, shape "
            f"{shape}): these are all outputs of {seen.layer} `{seen.layer_path}`",
            evidence={
                "function": seen.function,
                "shape": shape,
                "dim": seen.dim,
                "layer": seen.layer_path,
                "min_num_values": self.min_num_values,
            },
        )

    def _is_for_each_sample(self, seen: ChoiceSeen) -> bool:
        is_plain = len(seen.shape) == 2 or seen.layer != "linear"
        return seen.function == "argmax" and is_plain and seen.dim == 1 and seen.shape[0] == seen.batch_size
