"""NNG101."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import NonFiniteSeen
from lightning_nnguard.rules.rule import Rule
from lightning_nnguard.rules.wording import bad_elements, circumstances, non_finite_evidence


@dataclass(frozen=True, kw_only=True)
class NonFiniteInput(Rule[NonFiniteSeen]):
    """NaN or Inf in a batch.

    What it checks:
        Every element of every float tensor of the batch, before the model sees it. One NaN or Inf is enough. The
        finding names the tensor's path in the batch, the first bad sample and feature, the batch index and the rank.

    Why it matters:
        One such value makes the loss, then all gradients, then all weights non-finite, and the run is lost from that
        step on.

    How to fix:
        Find the sample in the data set and repair or drop it. Frequent sources: a division by a standard deviation of
        zero, the logarithm of zero, missing values read as NaN, an overflow in a cast to half precision.

    When it is harmless:
        When NaN marks missing values that the model masks: while the loss of that step is finite, the finding is INFO.

    References:
        PyTorch documentation, "Numerical accuracy"; Karpathy, "A Recipe for Training Neural Networks" (2019).
    """

    code: ClassVar[str] = "NNG101"
    name: ClassVar[str] = "non-finite-input"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "one non-finite value makes the loss, the gradients and then all weights non-finite"
    fix: ClassVar[str] = (
        "repair or drop the named sample; check divisions by a zero deviation, logarithms of zero and missing values"
    )

    def check(self, seen: NonFiniteSeen) -> Finding | None:
        """Judge one tensor of the batch."""
        if seen.quantity != "input":
            return None
        sample = "" if seen.sample is None else f", first in sample {seen.sample}"
        feature = "" if seen.feature is None else f" at {seen.feature}"
        finite = ", the loss stayed finite" if seen.loss_finite else ""
        return self.finding(
            seen,
            f"{bad_elements(seen)} in the input{circumstances(seen)}{sample}{feature}{finite}",
            evidence=non_finite_evidence(seen),
            severity=Severity.INFO if seen.loss_finite else None,
        )
