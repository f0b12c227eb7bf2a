"""NNG503."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import UpdateSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class WeightsUnchanged(Rule[UpdateSeen]):
    """Parameter that no optimizer step moves.

    What it checks:
        Whether any element of the parameter moved, though its learning rate and its gradient are not zero. None may
        have moved on at least two sampled steps in a row that lie at least 10 steps apart, the norm being the same
        throughout. If an optimizer holds it, learning rate times gradient must exceed what float32 resolves, 1e-6 of
        the weight: a schedule that has decayed to nothing and a loss at its minimum move nothing either.

    Why it matters:
        The parameter receives a gradient and is meant to learn, but stays what it was at the start.

    How to fix:
        Pass it to the optimizer: build optimizers in `configure_optimizers` from `self.parameters()`, after all layers
        exist, and add newly unfrozen layers as a parameter group. If an optimizer holds it, the update is below the
        data type's precision: raise the learning rate or keep float32 weights.

    When it is harmless:
        On steps that a gradient scaler skipped, and on which no parameter at all moved (not judged). A parameter meant
        to be frozen should have `requires_grad=False`.

    References:
        PyTorch documentation, `torch.optim` ("Constructing it") and `Optimizer.add_param_group`.
    """

    code: ClassVar[str] = "NNG503"
    name: ClassVar[str] = "weights-unchanged"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the parameter receives a gradient but stays what it was at the start"
    fix: ClassVar[str] = (
        "give the optimizer self.parameters() after all layers exist; if it holds this one, raise the learning rate"
    )

    min_num_unchanged: float = threshold(2, "sampled steps in a row on which no element moved", low=1)
    min_span: float = threshold(10, "steps from the first to the last of those")
    min_drive: float = threshold(1e-6, "smallest learning rate times gradient that must move a held weight, as a share of it")

    def check(self, seen: UpdateSeen) -> Finding | None:
        """Judge whether one parameter moves."""
        driven = seen.learning_rate > 0 and seen.gradient_norm is not None and seen.gradient_norm > 0 and not seen.step_skipped
        if not driven or seen.num_unchanged < self.min_num_unchanged or seen.unchanged_span < self.min_span:
            return None
        gradient = seen.gradient_norm or 0.0
        if seen.in_optimizer and seen.learning_rate * gradient <= self.min_drive * seen.weight_norm:
            return None
        optimizer = "" if seen.in_optimizer else "; no optimizer holds this parameter"
        return self.finding(
            seen,
            f"no element moved over {seen.unchanged_span} steps (threshold {self.min_span:g}, {seen.num_unchanged} sampled steps) "
            f"with learning rate {seen.learning_rate:.1e} and gradient norm {gradient:.1e}{optimizer}",
            evidence={
                "unchanged_span": seen.unchanged_span,
                "min_span": self.min_span,
                "num_unchanged": seen.num_unchanged,
                "min_num_unchanged": self.min_num_unchanged,
                "learning_rate": seen.learning_rate,
                "gradient_norm": gradient,
                "in_optimizer": seen.in_optimizer,
            },
        )
