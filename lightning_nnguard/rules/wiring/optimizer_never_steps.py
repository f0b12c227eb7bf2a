"""NNG227."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import NoStepSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class OptimizerNeverSteps(Rule[NoStepSeen]):
    """Training in which backward passes run and no optimizer, or one of several, ever steps.

    What it checks:
        Batches with a backward pass since training began, as long as no optimizer has stepped and no weight has moved. When
        gradients are cleared between the passes, 20 batches are enough. When they are left, it may be an accumulation: then 1000
        batches, or two epochs, must have gone by. Where others step, one optimizer is told, too, when its parameters have gradients
        that are not zero on all sampled batches, and neither it steps nor its weights move: for a whole epoch and 100 batches,
        or two whole epochs and 20 batches; when its gradients are never cleared, for two epochs and 100 batches. That is INFO,
        because it may wait for a later stage, and WARNING after five whole epochs.

    Why it matters:
        Gradients are computed and thrown away. The model, or that part of it, stays as it was initialised, while losses are logged
        as usual.

    How to fix:
        In manual optimisation call `opt.step()` after `self.manual_backward(loss)`, with `opt = self.optimizers()`. In automatic
        optimisation an override of `optimizer_step` must call `optimizer.step(closure=optimizer_closure)`.

    When it is harmless:
        Where gradients are wanted for themselves, as for a Fisher information: then let `configure_optimizers` return None.
        Weights that are moved by an optimizer of the user's own are seen, and silence the rule. One optimizer may wait for its
        turn, as in a stage of training that comes later; no gradients for its parameters until then (`toggle_optimizer`,
        `detach()`) save time, and silence the rule.

    References:
        Lightning documentation, "Manual Optimization".
    """

    code: ClassVar[str] = "NNG227"
    name: ClassVar[str] = "optimizer-never-steps"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "gradients are computed and thrown away, so the model stays as it was initialised"
    fix: ClassVar[str] = "opt = self.optimizers(); opt.zero_grad(); self.manual_backward(loss); opt.step()"

    min_batches: float = threshold(20, "batches without a step, and clearings of gradients among them", low=1)
    min_accumulated: float = threshold(1000, "batches without a step when gradients are not cleared", low=1)
    min_epochs: float = threshold(2, "epochs without a step, which suffice too when gradients are not cleared", low=1)
    min_batches_of_one: float = threshold(
        100, "batches without a step of one optimizer, while others step, in a whole epoch", low=1
    )
    min_epochs_of_one: float = threshold(5, "whole epochs without a step of one optimizer for a WARNING", low=1)
    max_kept: float = threshold(0.5, "share of these batches that may begin with its gradients of the batch before", high=1)

    def check(self, seen: NoStepSeen) -> Finding | None:
        """Judge how long nothing has stepped, or one optimizer has not."""
        if seen.optimizer:
            return self._of_one(seen)
        is_cleared = seen.num_clearings >= self.min_batches
        is_long = seen.num_batches >= self.min_accumulated or seen.num_epochs >= self.min_epochs
        if seen.has_moved or seen.num_batches < self.min_batches or not (is_cleared or is_long):
            return None
        limit = f"{self.min_batches:g}" if is_cleared else f"{self.min_accumulated:g} or {self.min_epochs:g} epochs"
        return self.finding(
            seen,
            f"{seen.num_batches} batches have run a backward pass and no optimizer has stepped (threshold {limit}); no weight has "
            f"moved, and gradients were cleared {seen.num_clearings} times in between",
            evidence={
                "num_batches": seen.num_batches,
                "num_clearings": seen.num_clearings,
                "num_epochs": seen.num_epochs,
                "min_batches": self.min_batches,
                "min_accumulated": self.min_accumulated,
            },
        )

    def _of_one(self, seen: NoStepSeen) -> Finding | None:
        is_cleared = seen.num_clearings >= (1 - self.max_kept) * seen.num_batches
        is_long = seen.num_batches >= self.min_batches_of_one
        is_twice = seen.num_epochs >= self.min_epochs
        if seen.has_moved or not ((is_twice and (is_long or is_cleared)) or (is_long and is_cleared and seen.num_epochs >= 1)):
            return None
        if seen.num_batches < self.min_batches:
            return None
        limit = (
            f"{self.min_batches_of_one:g} in a whole epoch" if is_long else f"{self.min_batches:g} in {self.min_epochs:g} epochs"
        )
        names = ", ".join(f"`{each}`" for each in seen.parameters)
        more = ", ..." if seen.num_parameters > len(seen.parameters) else ""
        return self.finding(
            seen,
            f"this {seen.optimizer} of {seen.num_parameters} parameters ({names}{more}) has not stepped in {seen.num_batches} "
            f"batches and {seen.num_epochs} whole epochs (threshold {limit}), while its parameters have gradients and another "
            f"optimizer steps; none of its weights has moved",
            evidence={
                "num_batches": seen.num_batches,
                "num_clearings": seen.num_clearings,
                "num_epochs": seen.num_epochs,
                "min_batches_of_one": self.min_batches_of_one,
                "optimizer": seen.optimizer,
                "num_parameters": seen.num_parameters,
            },
            severity=Severity.WARNING if seen.num_epochs >= self.min_epochs_of_one else Severity.INFO,
        )
