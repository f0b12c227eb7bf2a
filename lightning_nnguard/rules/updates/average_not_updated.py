"""NNG512."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import AverageSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class AverageNotUpdated(Rule[AverageSeen]):
    """Moving average of the weights that is still what it was before training.

    What it checks:
        When training ends after at least 100 steps: each `AveragedModel` of a callback or of the module, and each frozen part of
        the module whose name says that it is an average ("ema", "swa", "averaged"). Samples of its parameters are exactly what
        they were at the start, it has counted no update, and the weights that it averages were trained meanwhile.

    Why it matters:
        Whoever evaluates the average evaluates the untrained weights. Lightning's `WeightAveraging` and `EMAWeightAveraging` put
        the average in place of the trained weights when training ends, so that the training is lost: that is an ERROR.

    How to fix:
        Call `self.ema.update_parameters(self.net)` in `on_train_batch_end`; with `EMAWeightAveraging` let
        `update_starting_at_step` lie within the run.

    When it is harmless:
        A copy that is meant to stay, as the reference model of a preference loss. Teachers and targets are not judged by their
        name, nor is an average that was to begin later in a run that was stopped before its end.

    References:
        Izmailov et al., "Averaging weights leads to wider optima and better generalization" (UAI, 2018); Lightning documentation,
        `WeightAveraging`.
    """

    code: ClassVar[str] = "NNG512"
    name: ClassVar[str] = "average-not-updated"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the average holds the weights from before training, and whoever uses it uses untrained weights"
    fix: ClassVar[str] = "call self.ema.update_parameters(self.net) in on_train_batch_end; begin averaging within the run"

    min_num_steps: float = threshold(100, "steps after which an average must have been updated")
    max_num_updates: float = threshold(0, "updates that count as none")

    def check(self, seen: AverageSeen) -> Finding | None:
        """Judge one average at the end of training."""
        if seen.num_steps < self.min_num_steps or seen.num_moved or not seen.num_compared:
            return None
        if seen.num_updates is not None and seen.num_updates > self.max_num_updates:
            return None
        if seen.replaces and seen.num_updates is not None:
            severity, end = Severity.ERROR, ", and has replaced the trained weights"
        elif seen.num_sources_moved == seen.num_compared:
            severity, end = Severity.WARNING, ""
        else:
            return None
        counted = "" if seen.num_updates is None else f" after {seen.num_updates} updates"
        return self.finding(
            seen,
            f"{seen.kind} is what it was before training{counted}: none of {seen.num_compared} parameters has moved in "
            f"{seen.num_steps} steps (threshold {self.min_num_steps:g}){end}",
            evidence={
                "num_steps": seen.num_steps, "min_num_steps": self.min_num_steps, "num_compared": seen.num_compared,
                "num_updates": -1 if seen.num_updates is None else seen.num_updates, "kind": seen.kind,
            },
            severity=severity,
        )  # fmt: skip
