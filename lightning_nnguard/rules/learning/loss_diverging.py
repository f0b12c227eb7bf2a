"""NNG704."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class LossDiverging(Rule[LossSeen]):
    """Training loss that rises for good.

    What it checks:
        Two things, when the chance level of the loss is known. After 20 steps, the largest loss since step 5 is above twice
        chance and above the first loss, while the smoothed loss is above 1.2 times chance and the first loss and does not
        fall. Or the last 50 smoothed losses are all above 1.2 times their minimum, and above it by more than 0.05 of
        chance; this is INFO while less than half of what had been gained is lost, as when the task gets harder: new
        classes, stronger augmentation. All distances must exceed the noise: the typical deviation of a loss, taken from the
        median change from step to step, and the standard error of the chance level.

    Why it matters:
        The run forgets what it learned, and most often does not come back.

    How to fix:
        Lower the learning rate (3 to 10 times), lengthen the warm-up, clip gradients, and go back to a checkpoint from
        before the named step.

    When it is harmless:
        For a tiny training loss that fluctuates: a loss of 0.001 that rises to 0.002 is healthy, hence the distance in
        units of chance. A bad start that falls is not divergence, hence the comparison with the first loss. One bad
        batch is a spike (NNG705), and the loss of a tiny batch jumps, hence the smoothed loss and the noise.

    References:
        Smith, "Cyclical Learning Rates" (arXiv:1506.01186). Measured on 200 runs: a peak above twice chance catches 27
        of 33 too high learning rates, with 3 alarms on 86 healthy runs, all at 0.1 with Adam.
    """

    code: ClassVar[str] = "NNG704"
    name: ClassVar[str] = "loss-diverging"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the run forgets what it learned, and most often does not come back"
    fix: ClassVar[str] = (
        "lower the learning rate 3 to 10 times, lengthen the warm-up or clip gradients, and restart before the named step"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({
        "NNG101", "NNG102", "NNG106", "NNG118", "NNG209", "NNG212", "NNG221", "NNG232", "NNG303", "NNG401", "NNG508", "NNG702",
        "NNG706",
    })  # fmt: skip

    max_peak: float = threshold(2, "largest healthy loss after the first steps, in units of chance", low=1)
    max_growth: float = threshold(
        1.2, "largest healthy smoothed loss, in units of its minimum (and of chance, after a peak)", low=1
    )
    max_lost: float = threshold(0.5, "loss of the way from chance to the minimum that is only mentioned", high=1.0)
    max_rise: float = threshold(0.05, "largest healthy distance of the smoothed loss from its minimum, in units of chance")
    max_noise: float = threshold(1, "largest healthy distance from chance or minimum, in deviations of a single loss")
    min_step: float = threshold(20, "steps at the start that are not judged, because a bad start may come back")
    min_num_steps: float = threshold(50, "steps for which the smoothed loss must be above its minimum", low=1)

    def check(self, seen: LossSeen) -> Finding | None:
        """Judge the peak against chance, and the smoothed loss against its minimum."""
        chance = seen.chance
        if chance is None or chance <= 0 or seen.num_steps < self.min_step:
            return None
        noise, error = self.max_noise * seen.noise, 2 * seen.chance_error
        latest = seen.smoothed_recent[-int(self.min_num_steps) :]
        severity = None
        high = max(self.max_growth * chance, chance + noise) + error
        low = max(self.max_growth * seen.smoothed_min, seen.smoothed_min + max(self.max_rise * chance, noise))
        peaked = seen.peak > max(self.max_peak * chance + error, seen.first + 3 * noise)  # the largest of many is 3 deviations up
        if peaked and seen.smoothed > max(high, seen.first) and not seen.is_falling:
            message = (
                f"loss peaked at {seen.peak:.3g} at step {seen.peak_step}, {seen.peak / chance:.3g} times its chance level "
                f"{chance:.3g} (threshold {self.max_peak:g}, {seen.num_steps} steps)"
            )
        elif len(latest) >= self.min_num_steps and min(latest) > low:
            message = (
                f"smoothed loss is {seen.smoothed:.3g}, and was above {low:.3g} for {len(latest)} steps, after its minimum of "
                f"{seen.smoothed_min:.3g} at step {seen.smoothed_min_step} (threshold {self.max_growth:g} times)"
            )
            if seen.smoothed - seen.smoothed_min < self.max_lost * (chance - seen.smoothed_min):
                severity = Severity.INFO
        else:
            return None
        return self.finding(
            seen,
            message,
            severity=severity,
            evidence={
                "smoothed": seen.smoothed,
                "smoothed_min": seen.smoothed_min,
                "peak": seen.peak,
                "chance": chance,
                "max_peak": self.max_peak,
                "max_growth": self.max_growth,
                "noise": noise,
                "num_steps": seen.num_steps,
            },
        )
