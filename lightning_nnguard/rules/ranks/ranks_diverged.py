"""NNG802."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ReplicaSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class RanksDiverged(Rule[ReplicaSeen]):
    """Copies of a parameter that differ between ranks.

    What it checks:
        The norm of the first rows of each parameter after the step, on sampled steps, between ranks of which each holds a copy of
        the model (`DDPStrategy`). DDP starts from equal copies and gives them equal gradients, so that they stay equal.

    Why it matters:
        Each rank trains a model of its own; the checkpoint holds that of rank zero, which has seen a part of the data only, with
        gradients that belong to other weights.

    How to fix:
        Let DDP know all parameters before it wraps the model: make them in `__init__` or `configure_model`, and unfreeze
        them before the fit, because it averages the gradients only of those that require them by then. Or unfreeze by a
        learning rate that is zero at first. Write to weights on all ranks alike, with the same random state, and call the
        model through Lightning.

    When it is harmless:
        When ranks train apart on purpose, as in local SGD (a model averager of the strategy is not reported) or with
        experts of their own.

    References:
        Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training" (arXiv:2006.15704), section 3.
    """

    code: ClassVar[str] = "NNG802"
    name: ClassVar[str] = "ranks-diverged"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "each rank trains a model of its own, and the checkpoint holds only that of rank zero"
    fix: ClassVar[str] = (
        "let DDP know all parameters that will ever train before it wraps the model: make and unfreeze them in `__init__` or "
        "`configure_model`; change weights on all ranks alike"
    )
    patience: ClassVar[int] = 3

    max_difference: float = threshold(1e-5, "largest healthy difference of norms, as a share of the larger one", high=1.0)

    def check(self, seen: ReplicaSeen) -> Finding | None:
        """Judge the spread of one parameter."""
        difference = (seen.largest - seen.smallest) / max(seen.largest, 1e-30)
        if difference <= self.max_difference:
            return None
        return self.finding(
            seen,
            f"its copies differ between the {seen.world_size} ranks: the norm of their first {seen.num_compared} elements is from "
            f"{seen.smallest:.6g} to {seen.largest:.6g}, {difference:.2g} apart (threshold {self.max_difference:g})",
            evidence={
                "difference": difference, "max_difference": self.max_difference, "smallest": seen.smallest, "largest": seen.largest,
                "num_compared": seen.num_compared, "world_size": seen.world_size,
            },
        )  # fmt: skip
