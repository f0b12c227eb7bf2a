"""NNG222."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ClearingSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class GradientsClearedBeforeStep(Rule[ClearingSeen]):
    """Optimizer that steps after its gradients were cleared, so that it has nothing to step by.

    What it checks:
        The gradients of each optimizer after each backward pass, and again when it steps. They were there, and all of them are
        gone (None) at 3 steps in a row, or all exactly zero at 3 sampled steps in a row.

    Why it matters:
        The step moves no weight, or by momentum and weight decay alone. The loss is computed and logged as if all were well.

    How to fix:
        Clear gradients before the backward pass or after the step: `opt.zero_grad(); self.manual_backward(loss); opt.step()`.
        Look for `zero_grad` in `on_after_backward` and `on_before_optimizer_step`, too.

    When it is harmless:
        Never. A loss that is satisfied (a hinge) has zero gradients already after the backward pass, and is not meant.

    References:
        PyTorch documentation, "Zeroing out gradients"; Lightning documentation, "Manual Optimization".
    """

    code: ClassVar[str] = "NNG222"
    name: ClassVar[str] = "gradients-cleared-before-step"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the optimizer has no gradients to step by, so weights stay or follow momentum and weight decay alone"
    fix: ClassVar[str] = "opt.zero_grad(); self.manual_backward(loss); opt.step(), in this order"

    min_emptied: float = threshold(3, "steps in a row without any gradient, or sampled steps with zeros alone", low=1)

    def check(self, seen: ClearingSeen) -> Finding | None:
        """Judge what an optimizer finds when it steps."""
        gone = seen.num_emptied >= self.min_emptied
        num = seen.num_emptied if gone else seen.num_zeroed
        if num < self.min_emptied:
            return None
        return self.finding(
            seen,
            f"all gradients of {seen.optimizer} were {'None' if gone else 'exactly 0'} at the latest {num} "
            f"{'' if gone else 'sampled '}steps in a row (threshold {self.min_emptied:g}), but not after the backward pass before",
            evidence={
                "num_emptied": seen.num_emptied,
                "num_zeroed": seen.num_zeroed,
                "min_emptied": self.min_emptied,
                "optimizer": seen.optimizer,
            },
        )
