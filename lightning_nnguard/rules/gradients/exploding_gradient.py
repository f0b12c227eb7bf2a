"""NNG403."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import GradientNormSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class ExplodingGradient(Rule[GradientNormSeen]):
    """Gradient norm far above what it was.

    What it checks:
        The latest 10 total gradient norms, before clipping, against the norms before them (at least 10). A norm
        explodes when it is above 10 times their median and above the median plus 20 times their median absolute
        deviation (MAD). Three of ten give a WARNING, an isolated newest one gives INFO, and so does what the Trainer's own
        clipping cuts back below that bound.

    Why it matters:
        One such step undoes many good ones, and several in a row end in divergence or NaN.

    How to fix:
        Clip gradients (`gradient_clip_val=1.0`), lower the learning rate, lengthen the warm-up, or look at the batches
        of the named steps.

    When it is harmless:
        When the loss is redefined in mid-training, such as a curriculum or newly unfrozen layers, and when a network leaves the
        plateau on which it began, where its gradients were small; a run that learns gets INFO.

    References:
        Pascanu et al., "On the difficulty of training recurrent neural networks" (arXiv:1211.5063); Hampel, "The
        influence curve and its role in robust estimation" (1974) for the MAD.
    """

    code: ClassVar[str] = "NNG403"
    name: ClassVar[str] = "exploding-gradient"
    severity: ClassVar[Severity] = Severity.WARNING
    gated: ClassVar[bool] = True
    why: ClassVar[str] = "one such step undoes many good ones, and several in a row end in divergence"
    fix: ClassVar[str] = "clip gradients (gradient_clip_val=1.0), lower the learning rate, or look at the batches of these steps"
    explained_by: ClassVar[frozenset[str]] = frozenset(
        {"NNG101", "NNG118", "NNG209", "NNG212", "NNG221", "NNG303", "NNG401", "NNG702", "NNG706"}
    )

    max_growth: float = threshold(10, "largest healthy norm, in medians of the norms before", low=1)
    max_deviation: float = threshold(20, "largest healthy distance from the median, in median absolute deviations")
    max_num_recent: float = threshold(10, "latest norms that are judged", low=1)
    min_num_baseline: float = threshold(10, "earlier norms that must be known", low=1)
    min_num_exploding: float = threshold(3, "exploding norms among the latest for a WARNING", low=1)

    def check(self, seen: GradientNormSeen) -> Finding | None:
        """Judge the latest norms against those before."""
        recent = int(self.max_num_recent)
        baseline, latest = seen.norms[:-recent], seen.norms[-recent:]
        if len(baseline) < self.min_num_baseline:
            return None
        middle = median(baseline)
        deviation = median(abs(norm - middle) for norm in baseline)
        bound = max(self.max_growth * middle, middle + self.max_deviation * deviation)
        exploding = [norm for norm in latest if norm > bound]
        several = len(exploding) >= self.min_num_exploding
        if middle <= 0 or not (several or latest[-1] > bound):
            return None
        is_cut = seen.limit is not None and seen.limit <= bound
        cut = f"; all are clipped to {seen.limit:.1e}" if is_cut else ""
        return self.finding(
            seen,
            f"gradient norm reached {max(exploding):.1e}, {len(exploding)} of the latest {len(latest)} norms above {bound:.1e} "
            f"(threshold {self.min_num_exploding:g}; median {middle:.1e}, MAD {deviation:.1e} of {len(baseline)} norms "
            f"before){cut}",
            evidence={
                "norm": max(exploding),
                "bound": bound,
                "median": middle,
                "deviation": deviation,
                "num_exploding": len(exploding),
                "min_num_exploding": self.min_num_exploding,
                "num_baseline": len(baseline),
            },
            severity=Severity.INFO if is_cut or not several else None,
        )
