"""NNG303."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import NonFiniteSeen
from lightning_nnguard.rules.rule import Rule
from lightning_nnguard.rules.wording import bad_elements, circumstances, non_finite_evidence


@dataclass(frozen=True, kw_only=True)
class NonFiniteActivation(Rule[NonFiniteSeen]):
    """First module whose output is NaN or Inf though its inputs are finite.

    What it checks:
        The outputs of all modules, in call order. Only the first that is non-finite while its inputs were finite is
        named: what follows is its consequence. A call that the training step makes by itself, outside of any module, is
        the loss's (NNG702).

    Why it matters:
        From here NaN spreads to the loss, to all gradients and to all weights.

    How to fix:
        Look at this module for a logarithm or root of zero, a division by zero, an overflowing exponential or a
        half-precision overflow; add an epsilon, clamp the argument, or compute in float32. If its weights are
        non-finite, look at the step before.

    When it is harmless:
        For attention scores masked with -inf before a softmax: they are not judged. For values that the model masks
        later, such as fully padded rows: while the loss of that step is finite, the finding is INFO.

    References:
        PyTorch documentation, "Numerical accuracy" (extremal values) and `torch.autograd.detect_anomaly`.
    """

    code: ClassVar[str] = "NNG303"
    name: ClassVar[str] = "non-finite-activation"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "from this module NaN spreads to the loss, to all gradients and to all weights"
    fix: ClassVar[str] = (
        "look here for log or sqrt of 0, division by 0, overflowing exp or half precision; add an epsilon, clamp, or use float32; "
        "lower the learning rate if the numbers grew over many steps"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG101"})

    def check(self, seen: NonFiniteSeen) -> Finding | None:
        """Judge the output of one module."""
        if seen.quantity != "activation" or not seen.is_first or seen.masked:
            return None
        what = "" if seen.origin else f"{bad_elements(seen)} in the output, the first in call order with finite inputs"
        finite = ", the loss stayed finite" if seen.loss_finite else ""
        return self.finding(
            seen,
            f"{what}{circumstances(seen)}{finite}".removeprefix(", "),
            evidence=non_finite_evidence(seen),
            severity=Severity.INFO if seen.loss_finite else None,
        )
