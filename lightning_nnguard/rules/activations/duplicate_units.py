"""NNG309."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import DuplicateUnitsSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class DuplicateUnits(Rule[DuplicateUnitsSeen]):
    """Layer most of whose units have a double that computes nearly the same.

    What it checks:
        The weights of linear layers and convolutions after 200 steps, and whenever the steps have doubled. A unit (a row, a filter)
        has a double when the weights of another unit point the same way, with a cosine above 0.999. Units of fewer than 8 weights
        or whose weights are all zero, depthwise convolutions and embeddings are left out. Of large layers 256 units are compared,
        by 256 of their weights.

    Why it matters:
        Doubles say the same, up to a factor and their bias: the layer has the capacity of a narrower one at the cost of a wide one.

    How to fix:
        Add a little noise where units were made as copies of others (layers widened from a smaller network, filters repeated for
        more channels). Where units were random and have become alike, centre the inputs of the layer, or lower the learning rate.

    When it is harmless:
        When many classes of an output layer never occur: their rows all go the same way. A network that is made to be equal under
        some exchange of units has doubles by design.

    References:
        Chen et al., "Net2Net" (arXiv:1511.05641), which adds noise to the copies; LeCun et al., "Efficient BackProp" (1998), on
        inputs that are not centred: all weights of a unit move together.
    """

    code: ClassVar[str] = "NNG309"
    name: ClassVar[str] = "duplicate-units"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "doubles compute the same up to a factor, so the layer has the capacity of a narrower one"
    fix: ClassVar[str] = (
        "add noise to units that were copied, such as weight.data += 0.01 * weight.std() * torch.randn_like(weight); "
        "else centre the inputs of the layer or lower the learning rate"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG102", "NNG213", "NNG301", "NNG501", "NNG704"})

    max_alike_fraction: float = threshold(0.5, "largest healthy share of units that have a double", high=1)
    min_num_compared: float = threshold(8, "units with weights that a verdict needs", low=2)

    def check(self, seen: DuplicateUnitsSeen) -> Finding | None:
        """Judge the units of one layer."""
        if seen.num_compared < self.min_num_compared or seen.num_alike <= self.max_alike_fraction * seen.num_compared:
            return None
        fraction = seen.num_alike / seen.num_compared
        of = f" (a sample of {seen.num_units})" if seen.num_compared < seen.num_units else ""
        return self.finding(
            seen,
            f"{seen.num_alike} of {seen.num_compared} units{of} ({fraction:.2f}, threshold {self.max_alike_fraction:g}) have a "
            f"double with a cosine above {seen.min_cosine:g} after {seen.num_steps} steps; each has {seen.fan_in} weights",
            evidence={
                "alike_fraction": fraction,
                "max_alike_fraction": self.max_alike_fraction,
                "num_alike": seen.num_alike,
                "num_compared": seen.num_compared,
                "num_units": seen.num_units,
                "fan_in": seen.fan_in,
                "min_cosine": seen.min_cosine,
                "num_steps": seen.num_steps,
            },
        )
