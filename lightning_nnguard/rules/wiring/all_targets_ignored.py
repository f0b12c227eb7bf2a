"""NNG228."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import loss_call


@dataclass(frozen=True, kw_only=True)
class AllTargetsIgnored(Rule[LossCallSeen]):
    """All targets of a batch equal `ignore_index`, so there is nothing to learn from.

    What it checks:
        The integer targets of each call of `cross_entropy` and `nll_loss` in the audited batches.

    Why it matters:
        The mean over no targets is 0 / 0: the loss is NaN, and one optimizer step writes NaN into every weight. With
        `reduction="sum"` the loss is 0, and nothing is learned without a word.

    How to fix:
        Look at how the targets are masked: labels of a prompt that reaches to the end, padding with the number of a real class, a
        crop without labels. Leave such batches out, or divide a sum by `(y != ignore_index).sum().clamp(min=1)`.

    When it is harmless:
        When a sum is one of several losses, each of which has targets in some batches only: that is not reported.

    References:
        PyTorch documentation, `torch.nn.CrossEntropyLoss` (ignore_index).
    """

    code: ClassVar[str] = "NNG228"
    name: ClassVar[str] = "all-targets-ignored"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the mean over no targets is NaN and spoils every weight; their sum is 0 and teaches nothing"
    fix: ClassVar[str] = (
        "look at how targets are masked, and leave out batches without any: `if y.eq(ignore_index).all(): return None`"
    )

    min_targets: float = threshold(64, "targets that a verdict on a sum needs: few of them may all be ignored by chance", low=1)

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
        if seen.num_ignored < seen.num_targets or seen.ignore_index is None:
            return None
        is_whole = seen.is_trained and seen.num_trained == 1 and seen.num_targets >= self.min_targets
        if seen.reduction != "mean" and not is_whole:
            return None
        result = "is NaN" if seen.value is None else f"is {seen.value:g}"
        return self.finding(
            seen,
            f"all {seen.num_targets} targets of {loss_call(seen)} equal ignore_index {seen.ignore_index} "
            f"(threshold 1 other target), so its {seen.reduction} {result}",
            evidence={
                "function": seen.function, "stage": seen.stage, "num_targets": seen.num_targets, "num_ignored": seen.num_ignored,
                "ignore_index": seen.ignore_index, "reduction": seen.reduction,
            },
        )  # fmt: skip
