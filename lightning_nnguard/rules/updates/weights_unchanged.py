"""NNG503."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import UpdateSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class WeightsUnchanged(Rule[UpdateSeen]):
    """Parameter that an optimizer holds and does not move.

    What it checks:
        Whether any element of the parameter moved, though an optimizer holds it and its learning rate and its gradient
        are not zero. None may have moved on at least two sampled steps in a row that lie at least 10 steps apart, the
        norm being the same throughout. Learning rate times gradient must exceed what float32 resolves, 1e-6 of the
        weight: a schedule that has decayed to nothing and a loss at its minimum move nothing either.

    Why it matters:
        The parameter receives a gradient and is meant to learn, but stays what it was at the start.

    How to fix:
        With an optimizer of your own, look whether its `step` reaches all parameter groups and writes
        in place. Look for code that puts the old weights back: hooks, clipping, a copy that is loaded.

    When it is harmless:
        On steps that a gradient scaler skipped, and on which no parameter at all moved (not judged). Parameters that
        no optimizer holds are the matter of NNG203, NNG205 and NNG513, those in half precision of NNG510.

    References:
        PyTorch documentation, `torch.optim.Optimizer.step`.
    """

    code: ClassVar[str] = "NNG503"
    name: ClassVar[str] = "weights-unchanged"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the parameter receives a gradient but stays what it was at the start"
    fix: ClassVar[str] = "see that the optimizer's step reaches all its groups, and that nothing puts the old weights back"

    min_num_unchanged: float = threshold(2, "sampled steps in a row on which no element moved", low=1)
    min_span: float = threshold(10, "steps from the first to the last of those")
    min_drive: float = threshold(1e-6, "smallest learning rate times gradient that must move a weight, as a share of it")

    def check(self, seen: UpdateSeen) -> Finding | None:
        """Judge whether one parameter moves."""
        driven = seen.learning_rate > 0 and seen.gradient_norm is not None and seen.gradient_norm > 0 and not seen.step_skipped
        if seen.is_half or not (driven and seen.in_optimizer):
            return None
        if seen.num_unchanged < self.min_num_unchanged or seen.unchanged_span < self.min_span:
            return None
        gradient = seen.gradient_norm or 0.0
        if seen.learning_rate * gradient <= self.min_drive * seen.weight_norm:
            return None
        return self.finding(
            seen,
            f"no element moved over {seen.unchanged_span} steps (threshold {self.min_span:g}, {seen.num_unchanged} sampled steps) "
            f"with learning rate {seen.learning_rate:.1e} and gradient norm {gradient:.1e}",
            evidence={
                "unchanged_span": seen.unchanged_span,
                "min_span": self.min_span,
                "num_unchanged": seen.num_unchanged,
                "min_num_unchanged": self.min_num_unchanged,
                "learning_rate": seen.learning_rate,
                "gradient_norm": gradient,
            },
        )
