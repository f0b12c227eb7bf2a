"""NNG509."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ScalerSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class SkippedSteps(Rule[ScalerSeen]):
    """Mixed precision whose gradient scaler skips most steps.

    What it checks:
        Whether the scale of the gradient scaler fell with a sampled step, which then changed no weight; over the latest 20
        sampled steps. The first 20 steps of a run do not count: there the scaler searches its scale.

    Why it matters:
        A step is skipped when a gradient overflows float16. Schedulers and `global_step` go on, so most of the run is spent on
        nothing, and a scale that falls without end loses small gradients.

    How to fix:
        Use `precision="bf16-mixed"` where the hardware has it: bfloat16 does not overflow. Else find what overflows: a loss that
        is a sum instead of a mean, scores before a softmax, a norm without an eps; compute it in float32. With a scaler of your
        own keep `growth_interval=2000`.

    When it is harmless:
        In the first steps (not counted), and once in every 2000 steps, when the scale has grown too far.

    References:
        Micikevicius et al., "Mixed precision training" (ICLR, 2018); PyTorch documentation, `torch.amp.GradScaler`.
    """

    code: ClassVar[str] = "NNG509"
    name: ClassVar[str] = "skipped-steps"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "gradients overflow float16, so these steps change no weight while the schedule goes on"
    fix: ClassVar[str] = 'use precision="bf16-mixed", or compute what overflows in float32; keep the scaler\'s growth_interval=2000'
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG101", "NNG303", "NNG401", "NNG702"})

    max_share: float = threshold(0.5, "largest healthy share of sampled steps that were skipped", high=1.0)
    min_num_samples: float = threshold(10, "sampled steps that a verdict needs, behind the first 20 steps", low=2, high=20)

    def check(self, seen: ScalerSeen) -> Finding | None:
        """Judge how many of the latest sampled steps were skipped."""
        share = seen.num_skipped / max(seen.num_samples, 1)
        if seen.num_samples < self.min_num_samples or share <= self.max_share:
            return None
        return self.finding(
            seen,
            f"the gradient scaler skipped {seen.num_skipped} of the latest {seen.num_samples} sampled steps (threshold "
            f"{self.max_share:g}), over {seen.span} steps; its scale is {seen.scale:.3g}",
            evidence={
                "num_skipped": seen.num_skipped, "num_samples": seen.num_samples, "max_share": self.max_share, "span": seen.span,
                "scale": seen.scale,
            },
        )  # fmt: skip
