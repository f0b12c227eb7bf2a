"""NNG705."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class LossSpike(Rule[LossSeen]):
    """Single loss far above the ones before.

    What it checks:
        The largest of the latest 64 losses against the mean and standard deviation of those before it, up to 127 of
        them. It must be above the mean by more than 6 standard deviations, by more than 0.1 of the mean and, when chance
        is known, by more than 0.05 of chance. Not the newest loss alone is judged, because most spikes fall between two
        sampled steps.

    Why it matters:
        A spike points at an odd batch or at a step that was too large. Many of them come before divergence.

    How to fix:
        Look at the batch of that step for broken samples, clip gradients, or lower the learning rate.

    When it is harmless:
        When it stays single: most runs recover within some steps. Constant or almost zero losses are not judged.

    References:
        Chowdhery et al., "PaLM" (arXiv:2204.02311), section on training instability.
    """

    code: ClassVar[str] = "NNG705"
    name: ClassVar[str] = "loss-spike"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "a spike points at an odd batch or at a step that was too large"
    fix: ClassVar[str] = "look at the batch of this step for broken samples, clip gradients, or lower the learning rate"

    max_deviation: float = threshold(6, "largest healthy distance from the mean, in standard deviations")
    max_rise: float = threshold(0.1, "largest healthy distance from the mean, as a share of the mean")
    max_rise_of_chance: float = threshold(0.05, "the same, as a share of chance, or of the first loss")
    max_age: float = threshold(64, "latest losses among which a spike is sought", low=1, high=128)
    min_num_losses: float = threshold(64, "losses before it that must be known", low=2, high=127)

    def check(self, seen: LossSeen) -> Finding | None:
        """Judge the largest of the latest losses against those before."""
        if len(seen.recent) <= self.min_num_losses:
            return None
        latest = seen.recent[-int(self.max_age) :]
        spike, age = max((loss, -index) for index, loss in enumerate(reversed(latest)))
        before = seen.recent[: len(seen.recent) + age - 1]
        if len(before) < self.min_num_losses:
            return None
        middle = fmean(before)
        if spike - middle <= max(self.max_rise * abs(middle), self.max_rise_of_chance * (seen.chance or abs(seen.first))):
            return None
        sigma = stdev(before)
        if sigma <= 0 or spike - middle <= self.max_deviation * sigma:
            return None
        when = f"was {spike:.3g} {-age} steps before" if age else f"is {spike:.3g}"
        return self.finding(
            seen,
            f"loss {when}, {(spike - middle) / sigma:.1f} standard deviations above its mean {middle:.3g} "
            f"(threshold {self.max_deviation:g}, {len(before)} steps)",
            evidence={
                "loss": spike,
                "age": -age,
                "mean": middle,
                "deviation": sigma,
                "max_deviation": self.max_deviation,
                "num_losses": len(before),
            },
        )
