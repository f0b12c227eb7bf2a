"""NNG218."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import InitialProfileSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class MismatchedInitialisation(Rule[InitialProfileSeen]):
    """Initial weights that make the signal shrink or grow from layer to layer.

    What it checks:
        The root mean square (RMS) of the outputs of linear layers and convolutions, in call order, before the first step. It must
        not fall, or rise, by more than 2x a layer over three layers or more, and by more than 100x over all of them. Layers that
        put out zeros, as residual ends do that start at zero, end such a series.

    Why it matters:
        The deviation grows exponentially with the depth, and gradients shrink or grow by the same factor: the first layers learn
        nothing, or the loss diverges.

    How to fix:
        Initialise for the activation: `nn.init.kaiming_normal_(weight, nonlinearity="relu")`, `nn.init.xavier_uniform_` for
        tanh; or add normalisation between the layers.

    When it is harmless:
        When an optimizer with a step size of its own for each weight (Adam) makes up for it within a few steps: the loss tells.

    References:
        He et al., "Delving Deep into Rectifiers" (arXiv:1502.01852). The default initialisation of `nn.Linear` and `nn.Conv2d`
        shrinks the signal by 2.4x (ReLU) to 3.6x (SiLU) a layer when there are no biases: 39x over three layers.
    """

    code: ClassVar[str] = "NNG218"
    name: ClassVar[str] = "mismatched-initialisation"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "signal and gradients shrink or grow exponentially with the depth"
    fix: ClassVar[str] = 'use nn.init.kaiming_normal_(weight, nonlinearity="relu") or nn.init.xavier_uniform_, or add normalisation'

    max_change: float = threshold(100, "largest healthy factor between the first and the last RMS of a series", low=1)
    min_layer_change: float = threshold(2, "factor a layer that goes on with a series", low=1)
    min_num_changes: float = threshold(3, "layers in a series", low=1)

    def check(self, seen: InitialProfileSeen) -> Finding | None:
        """Judge the profile over the depth; the largest change is named."""
        found = max(self._series(seen.rms), key=lambda each: self._change(seen.rms, *each), default=None)
        if found is None or self._change(seen.rms, *found) <= self.max_change:
            return None
        first, last = found
        change = self._change(seen.rms, first, last)
        return self.finding(
            seen,
            f"before the first step the output RMS goes from {seen.rms[first]:.1e} ({seen.layers[first]}) to "
            f"{seen.rms[last]:.1e} ({seen.layers[last]}), {change:.3g}x over {last - first} layers (threshold "
            f"{self.max_change:g}x, {len(seen.layers)} seen)",
            evidence={
                "first_layer": seen.layers[first],
                "last_layer": seen.layers[last],
                "first_rms": seen.rms[first],
                "last_rms": seen.rms[last],
                "change": change,
                "max_change": self.max_change,
                "num_changes": last - first,
                "min_num_changes": self.min_num_changes,
            },
            where=seen.layers[last],
        )

    def _series(self, rms: tuple[float, ...]) -> list[tuple[int, int]]:
        """Return the first and the last index of each series of falls or rises that is long enough."""
        found = []
        for sign in (1, -1):
            start = 0
            for i in range(1, len(rms) + 1):
                if i == len(rms) or min(rms[i - 1 : i + 1]) <= 0 or (rms[i] / rms[i - 1]) ** sign <= self.min_layer_change:
                    found.append((start, i - 1))
                    start = i
        return [(first, last) for first, last in found if last - first >= self.min_num_changes]

    def _change(self, rms: tuple[float, ...], first: int, last: int) -> float:
        return max(rms[first] / rms[last], rms[last] / rms[first])
