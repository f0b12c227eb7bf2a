"""NNG606."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import RunningStatisticsSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class StaleRunningStatistics(Rule[RunningStatisticsSeen]):
    """Batch norm whose running statistics do not describe what it is given in evaluation.

    What it checks:
        The input of each batch norm in audited batches of validation and test, from step 100 on, against the running mean and
        variance that it is normalised with. It speaks when the batch mean lies more than 3 running standard deviations off, or
        the batch variance is more than 10 times the running one (medians over channels, at least 32 samples). A running variance
        that is 10 times too large is judged only where the running statistics still hold what they began with: they are 0 and 1,
        or momentum and number of steps say so.

    Why it matters:
        In training, batch norm uses the statistics of the batch; in evaluation, the running ones. When these are stale, the network
        is evaluated with activations that it was never trained with: validation looks bad though training is well.

    How to fix:
        Use the default `momentum=0.1`, or 0.01 with many steps: PyTorch's momentum is the weight of the new batch, so 0.99 in
        TensorFlow is 0.01 here. Let the layers run in train mode in training. After weights were averaged or replaced, run
        `torch.optim.swa_utils.update_bn(loader, model)`. When the statistics are right, look for evaluation data that are scaled
        otherwise than the training data.

    When it is harmless:
        For a network that is evaluated on purpose with data of quite another kind: ignore this rule with that reason. Batch norm
        whose weight is frozen is not judged: there the statistics belong to the pre-trained weights.

    References:
        Ioffe and Szegedy, "Batch Normalization" (arXiv:1502.03167); Wu and Johnson, "Rethinking 'Batch' in BatchNorm"
        (arXiv:2105.07576); PyTorch documentation, `nn.BatchNorm2d` and `torch.optim.swa_utils.update_bn`. In healthy trainings on
        digits, validation sets sorted by class and of noise among them, the mean was at most 1 deviation off and the variance at
        most 1.7 times the running one. Moving averages of weights lower the variance a hundredfold at first, and then recover.
    """

    code: ClassVar[str] = "NNG606"
    name: ClassVar[str] = "stale-running-statistics"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "evaluation normalises with other statistics than training, so the network meets unknown activations"
    fix: ClassVar[str] = (
        "use momentum=0.1 and train mode in training, or run torch.optim.swa_utils.update_bn(loader, model); if the statistics are "
        "right, scale evaluation data like training data"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG603"})

    max_shift: float = threshold(3.0, "distance of the batch mean from the running mean, in running standard deviations")
    max_variance_ratio: float = threshold(10.0, "largest healthy batch variance / running variance", low=1.0)
    min_spread_ratio: float = threshold(
        0.1, "smallest healthy mean square distance from the running mean / running variance", high=1.0
    )
    min_initial_part: float = threshold(
        0.05, "part of the initial statistics, (1 - momentum) ** steps, from which on a running variance can be too large", high=1.0
    )
    min_samples: float = threshold(32, "samples of the batch that a verdict needs", low=2)
    min_step: float = threshold(100, "first step that is judged: running statistics have to settle")

    def check(self, seen: RunningStatisticsSeen) -> Finding | None:
        """Judge one batch norm call."""
        is_judged = seen.stage in {"validate", "test"} and seen.step >= self.min_step and seen.num_samples >= self.min_samples
        what = self._fault(seen) if is_judged and not seen.frozen else ""
        if not what:
            return None
        state = "never updated: mean 0, variance 1" if seen.is_untouched else f"momentum {seen.momentum:g}"
        size = f"{seen.num_channels} channels, {seen.num_samples} samples of a {seen.stage} batch"
        return self.finding(
            seen,
            f"{what}, {size}; {state}){f'; {seen.source}' if seen.source else ''}",
            evidence={
                "stage": seen.stage, "shift": seen.shift, "max_shift": self.max_shift, "variance_ratio": seen.variance_ratio,
                "max_variance_ratio": self.max_variance_ratio, "spread_ratio": seen.spread_ratio,
                "min_spread_ratio": self.min_spread_ratio, "momentum": seen.momentum, "num_samples": seen.num_samples,
            },
        )  # fmt: skip

    def _fault(self, seen: RunningStatisticsSeen) -> str:
        """Return what is wrong, up to its threshold; "" when nothing is."""
        if seen.shift > self.max_shift:
            return (
                f"the batch mean is {seen.shift:.3g} running standard deviations off the running mean (threshold {self.max_shift:g}"
            )
        if seen.variance_ratio > self.max_variance_ratio:
            return f"the batch variance is {seen.variance_ratio:.3g} times the running one (threshold {self.max_variance_ratio:g}"
        begins = seen.is_untouched or (seen.momentum > 0 and (1 - seen.momentum) ** seen.step > self.min_initial_part)
        if begins and seen.spread_ratio < self.min_spread_ratio:
            return f"the batch has {seen.spread_ratio:.3g} of the running variance (threshold {self.min_spread_ratio:g}"
        return ""
