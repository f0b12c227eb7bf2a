"""NNG402."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import GradientProfileSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class VanishingGradient(Rule[GradientProfileSeen]):
    """Gradient that vanishes on its way to the first layer.

    What it checks:
        The median gradient RMS of the first weight matrix divided by that of the last, over at least 50 steps. While
        the run is learning the finding is INFO.

    Why it matters:
        The first layers hardly move, so the network learns on top of random features.

    How to fix:
        Add residual connections or normalisation, use a variance-keeping initialisation, replace sigmoid and tanh by
        ReLU or GELU, or use an LSTM or GRU in place of a plain recurrent network.

    When it is harmless:
        In warm-up and when the first layer is frozen (not judged). An optimizer that divides by the gradient's size,
        such as Adam, makes up for some of it. An exactly zero gradient is NNG405.

    References:
        Bengio et al., "Learning long-term dependencies with gradient descent is difficult" (1994); Glorot and Bengio
        (AISTATS, 2010).
    """

    code: ClassVar[str] = "NNG402"
    name: ClassVar[str] = "vanishing-gradient"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the first layers hardly move, so the network learns on top of random features"
    fix: ClassVar[str] = (
        "add residual connections or normalisation, fix the initialisation, or replace sigmoid and tanh by ReLU or GELU"
    )
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG301", "NNG302", "NNG304", "NNG504", "NNG712"})

    min_ratio: float = threshold(1e-4, "smallest healthy gradient RMS of the first weight matrix over that of the last")
    min_span: float = threshold(50, "steps that the medians must cover")

    def check(self, seen: GradientProfileSeen) -> Finding | None:
        """Judge the first weight matrix against the last."""
        if seen.in_warmup or seen.frozen_stem or seen.span < self.min_span or not seen.rms:
            return None
        first, last = seen.rms[0], seen.rms[-1]
        if first <= 0 or last <= 0 or first / last >= self.min_ratio:
            return None
        return self.finding(
            seen,
            f"gradient RMS is {first:.1e} here and {last:.1e} in {seen.layers[-1]}, a ratio of {first / last:.1e} "
            f"(threshold {self.min_ratio:.0e}, median of {seen.num_samples} sampled steps over {seen.span} steps)",
            evidence={
                "ratio": first / last,
                "min_ratio": self.min_ratio,
                "first_layer": seen.layers[0],
                "last_layer": seen.layers[-1],
                "first_rms": first,
                "last_rms": last,
                "num_samples": seen.num_samples,
                "span": seen.span,
            },
            where=seen.layers[0],
        )
