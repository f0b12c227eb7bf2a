"""NNG401."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import NonFiniteSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import bad_elements, circumstances, non_finite_evidence


@dataclass(frozen=True, kw_only=True)
class NonFiniteGradient(Rule[NonFiniteSeen]):
    """NaN or Inf in a gradient though the loss is finite.

    What it checks:
        All gradients after unscaling and before clipping. The first parameter in backward order that holds NaN or Inf
        is named. It is silent when the loss itself is non-finite, which is NNG702.

    Why it matters:
        The next optimizer step writes NaN into the weights, and no later step can remove it.

    How to fix:
        Look at the operation just after this parameter for a derivative that is infinite where the value is fine: the
        root or norm of zero, a division masked by `torch.where`, an `atan2` or `acos` at its edge. Add an epsilon
        inside, not outside.

    When it is harmless:
        While a gradient scaler searches its scale: the first 20 skipped steps are not judged.

    References:
        PyTorch documentation, "Automatic Mixed Precision" (GradScaler) and `torch.autograd.detect_anomaly`;
        Micikevicius et al. (arXiv:1710.03740).
    """

    code: ClassVar[str] = "NNG401"
    name: ClassVar[str] = "non-finite-gradient"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the next optimizer step writes NaN into the weights, and no later step removes it"
    fix: ClassVar[str] = (
        "look just after this parameter for sqrt, norm or division at 0 or a masked torch.where; put an epsilon inside"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG101", "NNG303"})

    max_search_skips: float = threshold(20, "skipped steps that count as the gradient scaler's search for its scale")

    def check(self, seen: NonFiniteSeen) -> Finding | None:
        """Judge the gradient of one parameter."""
        searching = 1 <= seen.num_skips <= self.max_search_skips
        if seen.quantity != "gradient" or not seen.is_first or seen.loss_finite is False or searching:
            return None
        skips = f", after {seen.num_skips} skipped steps (threshold {self.max_search_skips:g})" if seen.num_skips else ""
        return self.finding(
            seen,
            f"{bad_elements(seen)} in the gradient, the first in backward order{circumstances(seen)}{skips}",
            evidence={**non_finite_evidence(seen), "num_skips": seen.num_skips, "max_search_skips": self.max_search_skips},
        )
