"""NNG301."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import DeadUnitsSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class DeadUnits(Rule[DeadUnitsSeen]):
    """Rectifier most of whose units are never positive.

    What it checks:
        How many units of a rectifier were not positive once, over at least 1000 distinct samples and two windows. A
        unit is a channel of a convolution or a feature of a linear layer. A unit silent for n samples may still fire,
        but on fewer than 3/n of them (95 % confidence). "Most" means more than half by two standard errors of a share,
        1/sqrt(units): of 64 units more than 40, of 4 units all. In a small layer a few dead units are chance.

    Why it matters:
        A unit that never fires has a gradient of exactly zero: it learns nothing and cannot come back. A layer with
        most units dead passes hardly any information or gradient.

    How to fix:
        Lower the learning rate, check the initialisation and biases, scale the input, or use a rectifier that leaks
        (LeakyReLU, GELU, SiLU).

    When it is harmless:
        When the layer is sparse by design, such as sparse autoencoders or experts that few samples reach.

    References:
        Lu et al., "Dying ReLU and Initialization" (arXiv:1903.06733); Hanley and Lippman-Hand, "If nothing goes wrong,
        is everything all right?" (JAMA, 1983) for 3/n. Measured on 31 healthy runs (91 layers): largest share 0.375, no
        alarm; all 19 failing runs had a layer with 0.97 or more.
    """

    code: ClassVar[str] = "NNG301"
    name: ClassVar[str] = "dead-units"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "a unit that never fires has a gradient of exactly zero, so it cannot come back"
    fix: ClassVar[str] = "lower the learning rate, check initialisation and input scale, or use LeakyReLU, GELU or SiLU"
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG101", "NNG212", "NNG303", "NNG401", "NNG702", "NNG706"})

    max_dead_fraction: float = threshold(0.5, "largest healthy share of units that were never positive, in a large layer", high=1.0)
    min_num_samples: float = threshold(1000, "distinct samples that must have been seen", low=1)
    min_num_windows: float = threshold(2, "windows that must agree", low=1)

    def check(self, seen: DeadUnitsSeen) -> Finding | None:
        """Judge the units of one rectifier."""
        if seen.num_samples < self.min_num_samples or seen.num_windows < self.min_num_windows or not seen.num_units:
            return None
        fraction = seen.num_dead / seen.num_units
        bound = min(self.max_dead_fraction + 1 / math.sqrt(seen.num_units), 1 - 1 / seen.num_units)
        if fraction <= max(bound, self.max_dead_fraction):
            return None
        source = f" of {seen.source}" if seen.source else ""
        rate = 3 / seen.num_samples
        return self.finding(
            seen,
            f"{seen.num_dead} of {seen.num_units} units{source} ({fraction:.2f}, threshold {bound:.2f}) were never "
            f"positive over n = {seen.num_samples} samples in {seen.num_windows} windows; each fires in fewer than "
            f"3/n = {rate:.1e} of samples",
            evidence={
                "dead_fraction": fraction,
                "max_dead_fraction": self.max_dead_fraction,
                "num_dead": seen.num_dead,
                "num_units": seen.num_units,
                "num_samples": seen.num_samples,
                "num_windows": seen.num_windows,
                "max_firing_rate": rate,
            },
        )
