"""NNG305."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ActivationSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class ExplodingActivations(Rule[ActivationSeen]):
    """Activations that keep doubling or are huge.

    What it checks:
        The root mean square (RMS) of one layer's output. Either it more than doubled over each of the latest five
        windows, or it is above 1e4. While the run is learning the finding is INFO.

    Why it matters:
        Growth at this pace overflows soon, and huge activations give huge gradients, so the run diverges.

    How to fix:
        Lower the learning rate, add normalisation, clip gradients, scale the input, or check a recurrent or residual
        path whose gain is above 1.

    When it is harmless:
        When a layer's natural unit is large, such as regression targets that are not scaled: the run learns then.
        Growth from exactly zero is not judged.

    References:
        He et al., "Delving Deep into Rectifiers" (arXiv:1502.01852); Zhang et al., "Fixup Initialization"
        (arXiv:1901.09321).
    """

    code: ClassVar[str] = "NNG305"
    name: ClassVar[str] = "exploding-activations"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "growth at this pace overflows soon, and huge activations give huge gradients"
    fix: ClassVar[str] = "lower the learning rate, add normalisation, clip gradients, or scale the input"
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG118", "NNG403", "NNG704"})

    max_rms: float = threshold(1e4, "largest healthy root mean square of the output")
    max_growth: float = threshold(2, "largest healthy factor by which the RMS grows in one window", low=1)
    min_num_windows: float = threshold(5, "windows in a row that must all show that growth", low=1)

    def check(self, seen: ActivationSeen) -> Finding | None:
        """Judge the size of one layer's output, now and over the latest windows."""
        latest = seen.rms_history[-int(self.min_num_windows) - 1 :]
        grown = [after > self.max_growth * before > 0 for before, after in pairwise(latest)]
        grows = len(grown) >= self.min_num_windows and all(grown)
        if grows:
            message = (
                f"output RMS grew from {latest[0]:.1e} to {latest[-1]:.1e}, more than {self.max_growth:g}x in each of "
                f"{len(grown)} windows ({seen.num_samples} samples each)"
            )
        elif seen.rms > self.max_rms:
            sizes = f"{seen.num_values} values of {seen.num_samples} samples"
            message = f"output RMS is {seen.rms:.1e} (threshold {self.max_rms:.0e}, {sizes})"
        else:
            return None
        return self.finding(
            seen,
            message,
            evidence={
                "rms": seen.rms,
                "max_rms": self.max_rms,
                "earlier_rms": latest[0] if latest else seen.rms,
                "max_growth": self.max_growth,
                "num_windows": len(grown),
                "num_samples": seen.num_samples,
                "num_values": seen.num_values,
            },
        )
