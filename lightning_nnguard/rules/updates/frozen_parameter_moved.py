"""NNG511."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import FrozenUpdateSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class FrozenParameterMoved(Rule[FrozenUpdateSeen]):
    """Frozen parameter that its optimizer still moves.

    What it checks:
        Parameters with `requires_grad=False` that an optimizer holds and whose `grad` is not None when it steps: weight after the
        batch minus weight before the step. It must have moved on two sampled steps in a row.

    Why it matters:
        An optimizer skips parameters whose `grad` is None, not those that are frozen. A gradient that was left from before, or
        filled with zeros, lets momentum and weight decay go on, so the layer drifts from what it was frozen at.

    How to fix:
        When you freeze a layer, drop its gradients: `layer.requires_grad_(False)`, then
        `for p in layer.parameters(): p.grad = None`; or clear them with `zero_grad(set_to_none=True)`, the default, or take the
        layer out of the optimizer.

    When it is harmless:
        Never. Teachers that are moved by hand have no gradient and are not meant, nor are parameters that are frozen for the turn
        of another optimizer alone.

    References:
        PyTorch documentation, `torch.optim.Optimizer.zero_grad`.
    """

    code: ClassVar[str] = "NNG511"
    name: ClassVar[str] = "frozen-parameter-moved"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the parameter is frozen but keeps a gradient, so momentum and weight decay still move it"
    fix: ClassVar[str] = "after layer.requires_grad_(False), drop its gradients: for p in layer.parameters(): p.grad = None"
    patience: ClassVar[int] = 2

    max_update_norm: float = threshold(0.0, "norm of the update of a frozen parameter")

    def check(self, seen: FrozenUpdateSeen) -> Finding | None:
        """Judge whether a frozen parameter has moved."""
        if seen.update_norm <= self.max_update_norm:
            return None
        return self.finding(
            seen,
            f"{seen.optimizer} moved it by {seen.update_norm:.1e} in one step (threshold {self.max_update_norm:g}, weight norm "
            f"{seen.weight_norm:.1e}) though requires_grad is False: its grad is not None",
            evidence={
                "update_norm": seen.update_norm,
                "max_update_norm": self.max_update_norm,
                "weight_norm": seen.weight_norm,
                "optimizer": seen.optimizer,
            },
        )
