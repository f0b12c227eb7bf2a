"""NNG304."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ActivationProfileSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class VanishingActivations(Rule[ActivationProfileSeen]):
    """Activations that shrink from layer to layer.

    What it checks:
        The root mean square (RMS) of the outputs of linear and convolution layers, in call order, on two sampled steps
        in a row. It must fall by more than 10x a layer over three layers in a row. While the run is learning the
        finding is INFO.

    Why it matters:
        The signal is lost on its way: the last layers see almost the same numbers for every sample, and gradients
        shrink by the same factors.

    How to fix:
        Use an initialisation that keeps the variance (He for rectifiers, Xavier for tanh), add normalisation or
        residual connections, and check for a scale applied twice.

    When it is harmless:
        For branches meant to start near zero, such as adapters or zero-initialised residual ends: the run learns then.

    References:
        He et al., "Delving Deep into Rectifiers" (arXiv:1502.01852); Glorot and Bengio (AISTATS, 2010).
    """

    code: ClassVar[str] = "NNG304"
    name: ClassVar[str] = "vanishing-activations"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the signal is lost on its way, and gradients shrink by the same factors"
    fix: ClassVar[str] = (
        "use He or Xavier initialisation, add normalisation or residual connections, or remove a scale applied twice"
    )
    patience: ClassVar[int] = 2
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG301", "NNG504", "NNG712"})

    max_fall: float = threshold(10, "largest healthy factor by which the RMS falls from one layer to the next", low=1)
    min_num_falls: float = threshold(3, "such falls in a row", low=1)

    def check(self, seen: ActivationProfileSeen) -> Finding | None:
        """Judge the profile over the depth; the longest series of falls is named."""
        best, start = (0, 0), 0
        for i in range(1, len(seen.rms)):
            if seen.rms[i - 1] <= self.max_fall * seen.rms[i]:
                start = i
            elif i - start > best[1] - best[0]:
                best = (start, i)
        first, last = best
        if last - first < self.min_num_falls:
            return None
        return self.finding(
            seen,
            f"output RMS falls from {seen.rms[first]:.1e} ({seen.layers[first]}) to {seen.rms[last]:.1e} ({seen.layers[last]}), "
            f"more than {self.max_fall:g}x a layer over {last - first} layers (threshold {self.min_num_falls:g} layers, "
            f"{len(seen.layers)} seen)",
            evidence={
                "first_layer": seen.layers[first],
                "last_layer": seen.layers[last],
                "first_rms": seen.rms[first],
                "last_rms": seen.rms[last],
                "max_fall": self.max_fall,
                "num_falls": last - first,
                "min_num_falls": self.min_num_falls,
                "num_layers": len(seen.layers),
            },
            where=seen.layers[last],
        )
