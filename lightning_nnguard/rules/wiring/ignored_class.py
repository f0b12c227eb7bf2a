"""NNG240."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import loss_call


@dataclass(frozen=True, kw_only=True)
class IgnoredClass(Rule[LossCallSeen]):
    """Loss whose `ignore_index` is the number of a class: samples of this class teach nothing.

    What it checks:
        The calls of `cross_entropy` and `nll_loss` in the audited batches of training whose logits have one row for each sample:
        whether some targets equal `ignore_index`, although the logits have a unit for this number. It is INFO for the first and the
        last number, which stand for unknown labels in some data sets.

    Why it matters:
        These samples have no loss and no gradient. Nothing ever raises the logit of their class, so it is never predicted; the loss
        does not show it, because it ignores these samples in validation, too.

    How to fix:
        Leave `ignore_index` out, or keep it for a number that is no class: `nn.CrossEntropyLoss(ignore_index=-100)`. If the number
        does stand for unknown labels, take their samples out of the data, and its unit out of the last layer.

    When it is harmless:
        When the number stands for unknown labels, and its unit is not used. Not reported are targets of sequences and
        pictures; logits that are made of tokens or other integers, where the number may be padding; a number that has no unit; a
        share of the targets below the threshold; and losses beside another trained loss, which may teach what this one ignores.

    References:
        PyTorch documentation, `torch.nn.CrossEntropyLoss` (ignore_index).
    """

    code: ClassVar[str] = "NNG240"
    name: ClassVar[str] = "ignored-class"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "samples of this class have no gradient, and it is never predicted"
    fix: ClassVar[str] = "leave ignore_index out, or set it to a number that is no class, such as -100"

    max_ignored_fraction: float = threshold(0.01, "largest share of targets that may be ignored", high=1.0)
    min_ignored: float = threshold(2, "ignored targets that a verdict needs", low=1)

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
        if seen.ignore_index is None or not seen.is_per_sample or not seen.is_trained or seen.num_trained != 1:
            return None
        if not 0 <= seen.ignore_index < seen.input_shape[1]:
            return None
        if not self.min_ignored <= seen.num_ignored < seen.num_targets:  # all of them: NNG228
            return None
        share = seen.num_ignored / seen.num_targets
        if share <= self.max_ignored_fraction:
            return None
        return self.finding(
            seen,
            f"{seen.num_ignored} of {seen.num_targets} samples ({share:.0%}, threshold {self.max_ignored_fraction:.0%}) have "
            f"target {seen.ignore_index}, which is the ignore_index of {loss_call(seen)}, and one of its "
            f"{seen.input_shape[1]} classes",
            evidence={
                "function": seen.function, "ignore_index": seen.ignore_index, "num_ignored": seen.num_ignored,
                "num_targets": seen.num_targets, "ignored_fraction": share, "max_ignored_fraction": self.max_ignored_fraction,
                "num_classes": seen.input_shape[1],
            },
            severity=Severity.INFO if seen.ignore_index in (0, seen.input_shape[1] - 1) else None,
        )  # fmt: skip
