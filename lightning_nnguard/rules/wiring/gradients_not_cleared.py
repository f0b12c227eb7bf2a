"""NNG221."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ClearingSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class GradientsNotCleared(Rule[ClearingSeen]):
    """Optimizer whose gradients of former steps are never cleared, so that new ones are added to them.

    What it checks:
        The gradients of each optimizer before each backward pass between two of its steps. They must be None or zero before one
        of them at least. When they were not before 3 steps in a row, their values and identity are looked at on 3 steps more:
        all must have been non-zero, and the backward pass must have added to them.

    Why it matters:
        Each step uses the sum of all gradients since the start of training: old ones count as much as new ones, the sum grows
        with every step, and training oscillates or diverges. Adam hides the growth, and learns worse.

    How to fix:
        Clear them before each backward pass: `opt.zero_grad(); self.manual_backward(loss); opt.step()`. In automatic optimisation
        remove the empty override of `optimizer_zero_grad`.

    When it is harmless:
        Never. Accumulation, in which gradients are cleared after each step, is healthy, and so are adversaries, whose backward
        passes leave gradients in each other that are cleared later. Backward passes that bypass Lightning (`loss.backward()`)
        are not seen.

    References:
        PyTorch documentation, "Zeroing out gradients"; Lightning documentation, "Manual Optimization".
    """

    code: ClassVar[str] = "NNG221"
    name: ClassVar[str] = "gradients-not-cleared"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "each step uses the sum of all gradients since training began, so it grows and points to the past"
    fix: ClassVar[str] = "opt.zero_grad(); self.manual_backward(loss); opt.step(), in this order"

    min_leftover: float = threshold(3, "steps in a row whose gradients held those of the step before", low=1, high=3)

    def check(self, seen: ClearingSeen) -> Finding | None:
        """Judge what an optimizer's gradients held before they were computed."""
        if seen.num_leftover < self.min_leftover:
            return None
        return self.finding(
            seen,
            f"gradients of {seen.optimizer} were not 0 before any backward pass between its steps, on {seen.num_leftover} steps in "
            f"a row (threshold {self.min_leftover:g}): those of former steps are still in them",
            evidence={"num_leftover": seen.num_leftover, "min_leftover": self.min_leftover, "optimizer": seen.optimizer},
        )
