"""NNG404."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ClippingSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class AlwaysClipped(Rule[ClippingSeen]):
    """Gradient clipping that does not cut off peaks, but works on most steps.

    What it checks:
        The norm of all gradients before clipping against the Trainer's `gradient_clip_val`, on the latest 20 sampled steps, which
        are the first 200 steps of a run. Clipped on more than half of them is INFO. It is a WARNING under SGD, when less than a
        tenth of the gradient is left and the run is not learning.

    Why it matters:
        The limit has become the length of the step. Under SGD a gradient that is cut to a tenth is a learning rate of a tenth,
        which changes with the norm of the gradient; optimizers of Adam's kind hardly notice.

    How to fix:
        Set `gradient_clip_val` above the usual norm, which the message says, so that it cuts peaks only; or look why gradients
        are that large: a summed loss, unscaled targets, a missing normalisation.

    When it is harmless:
        With optimizers of Adam's kind, and where steps of fixed length are meant. Clipping by value, by hand or in an own
        `configure_gradient_clipping` is not seen.

    References:
        Pascanu et al., "On the difficulty of training recurrent neural networks" (ICML, 2013).
    """

    code: ClassVar[str] = "NNG404"
    name: ClassVar[str] = "always-clipped"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "clipping sets the length of most steps, so that the learning rate is not what it says"
    fix: ClassVar[str] = "set gradient_clip_val above the usual gradient norm, or make the gradients smaller"
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG118", "NNG403", "NNG704"})

    max_share: float = threshold(0.5, "largest healthy share of sampled steps that were clipped", high=1.0)
    min_factor: float = threshold(0.1, "smallest healthy median of what is left of the gradient under SGD", high=1.0)
    max_quiet_factor: float = threshold(0.5, "median of what is left of the gradient from which on nothing is said", high=1.0)
    min_num_samples: float = threshold(20, "sampled steps that a verdict needs", low=2, high=20)
    min_num_early: float = threshold(8, "sampled steps that suffice when all were clipped to less than that under SGD", low=2)

    def check(self, seen: ClippingSeen) -> Finding | None:
        """Judge the clipping of the latest sampled steps."""
        share = seen.num_clipped / max(seen.num_samples, 1)
        is_slow = seen.is_plain and seen.factor < self.min_factor
        is_plain_to_see = is_slow and seen.num_clipped == seen.num_samples >= self.min_num_early
        if not is_plain_to_see and (seen.num_samples < self.min_num_samples or share <= self.max_share):
            return None
        if not is_slow and seen.factor > self.max_quiet_factor:
            return None
        return self.finding(
            seen,
            f"gradients were clipped on {seen.num_clipped} of the latest {seen.num_samples} sampled steps (threshold "
            f"{self.max_share:g}), over {seen.span} steps: gradient_clip_val {seen.limit:g} leaves {seen.factor:.2g} of a usual "
            f"norm of {seen.limit / max(seen.factor, 1e-12):.2g} ({seen.kind})",
            evidence={
                "num_clipped": seen.num_clipped, "num_samples": seen.num_samples, "max_share": self.max_share,
                "factor": seen.factor, "min_factor": self.min_factor, "limit": seen.limit, "span": seen.span, "kind": seen.kind,
            },
            severity=None if is_slow else Severity.INFO,
        )  # fmt: skip
