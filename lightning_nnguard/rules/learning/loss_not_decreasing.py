"""NNG703."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class LossNotDecreasing(Rule[LossSeen]):
    """Training loss that does not fall below chance.

    What it checks:
        The smoothed training loss against its chance level: the loss of the best constant prediction (the entropy of
        the labels, or the variance of the targets). Judged after 200 steps, or after an epoch of at least 20 steps, and
        only when the loss call was recognised.

    Why it matters:
        A constant would do as well, so the model uses nothing of its input.

    How to fix:
        Try to overfit one batch. If that fails, look at the wiring of loss and optimizer; if it succeeds, change the
        learning rate tenfold in both directions and check that inputs and labels belong together.

    When it is harmless:
        When the task has a long plateau, such as large vocabularies or deep networks in warm-up, or is known to be
        almost noise.

    References:
        Karpathy, "A Recipe for Training Neural Networks" (2019). Measured on 200 runs: no alarm on 86 healthy runs; it
        catches 58 of 81 too low and 27 of 33 too high learning rates.
    """

    code: ClassVar[str] = "NNG703"
    name: ClassVar[str] = "loss-not-decreasing"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "a constant prediction would do as well, so the model uses nothing of its input"
    fix: ClassVar[str] = (
        "overfit one batch first; then change the learning rate tenfold and check that inputs and labels belong together"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG101", "NNG303", "NNG401", "NNG502", "NNG702", "NNG704"})

    max_loss: float = threshold(0.98, "largest healthy smoothed loss, as a share of chance")
    min_num_steps: float = threshold(200, "steps after which the loss is judged", low=1)
    min_epoch_steps: float = threshold(20, "steps that an epoch must have for one epoch to suffice", low=1)

    def check(self, seen: LossSeen) -> Finding | None:
        """Judge the smoothed loss against chance."""
        if seen.chance is None or seen.chance <= 0:
            return None
        epoch = seen.steps_per_epoch
        whole_epoch = epoch is not None and seen.num_steps >= epoch >= self.min_epoch_steps
        if not (seen.num_steps >= self.min_num_steps or whole_epoch) or seen.smoothed <= self.max_loss * seen.chance:
            return None
        return self.finding(
            seen,
            f"smoothed loss is {seen.smoothed:.3g} after {seen.num_steps} steps, {seen.smoothed / seen.chance:.3g} of its chance "
            f"level {seen.chance:.3g} (threshold {self.max_loss:g})",
            evidence={
                "smoothed": seen.smoothed,
                "chance": seen.chance,
                "first": seen.first,
                "max_loss": self.max_loss,
                "num_steps": seen.num_steps,
            },
        )
