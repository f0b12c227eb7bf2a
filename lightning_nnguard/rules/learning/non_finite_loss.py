"""NNG702."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import NonFiniteSeen
from lightning_nnguard.rules.rule import Rule
from lightning_nnguard.rules.wording import circumstances, non_finite_evidence


@dataclass(frozen=True, kw_only=True)
class NonFiniteLoss(Rule[NonFiniteSeen]):
    """Loss that is NaN or Inf.

    What it checks:
        The training loss of every step, on the device, read late. The finding names the batch, the rank and, where
        known, the module in which it began.

    Why it matters:
        Its gradient is NaN, and one optimizer step writes NaN into every weight.

    How to fix:
        Look at the named origin and batch. Usual causes: a logarithm or division at zero in the loss, all targets of a
        batch ignored, a learning rate that is too high, or half-precision overflow.

    When it is harmless:
        When a gradient scaler skips the step: the weights stay finite, but the cause remains.

    References:
        PyTorch documentation, "Numerical accuracy" (extremal values).
    """

    code: ClassVar[str] = "NNG702"
    name: ClassVar[str] = "non-finite-loss"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "its gradient is NaN, and one optimizer step writes NaN into every weight"
    fix: ClassVar[str] = (
        "look at the named batch and origin: log or division at 0, all targets ignored, learning rate too high, half precision"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG101", "NNG209", "NNG228", "NNG232", "NNG303", "NNG401"})

    def check(self, seen: NonFiniteSeen) -> Finding | None:
        """Judge the loss of one step."""
        if seen.quantity != "loss":
            return None
        return self.finding(
            seen,
            f"the loss is NaN or Inf{circumstances(seen)} (threshold 0 non-finite losses, every step checked)",
            evidence=non_finite_evidence(seen),
        )
