"""NNG302."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ActivationSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class SaturatedUnits(Rule[ActivationSeen]):
    """Sigmoid or tanh most of whose outputs are at their bounds.

    What it checks:
        The share of outputs near the bounds: abs(tanh) > 0.97, or sigmoid outside [0.03, 0.97], on two sampled steps in
        a row. While the run is learning the finding is INFO.

    Why it matters:
        Near its bounds the function is flat. Its gradient is close to zero, so everything below learns slowly or not at
        all.

    How to fix:
        Scale the input, use an initialisation made for the function (Xavier), put a normalisation before it, or lower
        the learning rate.

    When it is harmless:
        For gates (LSTM, GLU, squeeze-and-excitation), which are meant to open and close: they are not judged. For the
        probabilities of a well-trained classifier: the run is learning then.

    References:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (AISTATS, 2010).
    """

    code: ClassVar[str] = "NNG302"
    name: ClassVar[str] = "saturated-units"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "near its bounds the function is flat, so hardly any gradient passes"
    fix: ClassVar[str] = "scale the input, use Xavier initialisation, normalise before the function, or lower the learning rate"
    patience: ClassVar[int] = 2
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG101", "NNG208", "NNG212", "NNG303", "NNG706"})

    max_saturated_fraction: float = threshold(0.5, "largest healthy share of outputs near the bounds", high=1.0)

    def check(self, seen: ActivationSeen) -> Finding | None:
        """Judge the output of one sigmoid or tanh."""
        if seen.is_gate or seen.saturated_fraction is None or seen.saturated_fraction <= self.max_saturated_fraction:
            return None
        source = f" of {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"{seen.saturated_fraction:.2f} of the {seen.kind} outputs{source} are near their bounds "
            f"(threshold {self.max_saturated_fraction:g}, {seen.num_values} values of {seen.num_samples} samples)",
            evidence={
                "saturated_fraction": seen.saturated_fraction,
                "max_saturated_fraction": self.max_saturated_fraction,
                "num_values": seen.num_values,
                "num_samples": seen.num_samples,
            },
        )
