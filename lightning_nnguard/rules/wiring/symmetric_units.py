"""NNG213."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import SymmetrySeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class SymmetricUnits(Rule[SymmetrySeen]):
    """Layer whose units have all stayed alike since they were initialised.

    What it checks:
        The weights of linear and convolution layers, whose units (rows, filters) were all equal on the first sampled step.
        When the weight has moved and the units are still equal after 20 steps, on two sampled steps, they will stay so. A weight
        that started at zero has 200 steps: optimizers that go by the sign of gradients alone let its units part later.

    Why it matters:
        Equal units compute the same, get the same gradient and take the same step, so the whole layer works like a single unit.

    How to fix:
        Initialise weights at random: `nn.init.kaiming_uniform_(layer.weight, a=5**0.5)`, which is the default of `nn.Linear`;
        constants are fine for biases and for gains of normalisation.

    When it is harmless:
        Never for a layer that is to have more than one unit. Zero-initialised ends of residual branches, heads and LoRA factors
        separate with the first step, and a weight that has not moved is not judged.

    References:
        Goodfellow et al., "Deep Learning", 8.4; He et al., "Delving Deep into Rectifiers" (arXiv:1502.01852).
    """

    code: ClassVar[str] = "NNG213"
    name: ClassVar[str] = "symmetric-units"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "units that start alike get the same gradients and stay alike, so the layer works like a single unit"
    fix: ClassVar[str] = "initialise the weight at random, such as nn.init.kaiming_uniform_(layer.weight, a=5**0.5)"
    patience: ClassVar[int] = 2

    max_gap: float = threshold(1e-6, "smallest healthy difference between units, relative to the largest weight", high=1e-3)
    min_steps: float = threshold(20, "steps within which units have to separate", low=1)
    min_steps_from_zero: float = threshold(200, "steps within which units have to separate that started at zero", low=1)

    def check(self, seen: SymmetrySeen) -> Finding | None:
        """Judge the units of one layer that started alike."""
        min_steps = self.min_steps_from_zero if seen.zero_initialised else self.min_steps
        if seen.gap >= self.max_gap or seen.num_steps < min_steps:
            return None
        return self.finding(
            seen,
            f"all {seen.num_units} units have the same weights after {seen.num_steps} steps: they differ by {seen.gap:.1e} of the "
            f"largest weight (threshold {self.max_gap:g} after {min_steps:g} steps), though the weight has moved",
            evidence={
                "gap": seen.gap,
                "max_gap": self.max_gap,
                "num_units": seen.num_units,
                "num_steps": seen.num_steps,
                "min_steps": min_steps,
            },
        )
