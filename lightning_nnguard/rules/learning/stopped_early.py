"""NNG713."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import GapSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class StoppedEarly(Rule[GapSeen]):
    """Training that ended while the validation loss was still falling.

    What it checks:
        At the end of training: whether the best validation loss of the last quarter of all evaluations is clearly below the best
        one before, and the training loss fell as well.

    Why it matters:
        A few more epochs would have made a better model for little more time.

    How to fix:
        Train longer, or with a higher learning rate. With a schedule, stretch it: one that has reached zero makes any run look
        finished.

    When it is harmless:
        When the budget is what decides. It is never more than INFO.

    References:
        Prechelt, "Early Stopping - But When?" (1998).
    """

    code: ClassVar[str] = "NNG713"
    name: ClassVar[str] = "stopped-early"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "a few more epochs would have made a better model"
    fix: ClassVar[str] = "train longer, stretch the schedule, or raise the learning rate"
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG502", "NNG703", "NNG708"})

    max_fall: float = threshold(0.2, "largest fall in the last quarter that is not mentioned, as a share of the loss")
    max_noise: float = threshold(2, "largest fall that is not mentioned, in deviations of a single evaluation")
    min_num_evaluations: float = threshold(8, "evaluations that must be known", low=4)

    def check(self, seen: GapSeen) -> Finding | None:
        """Judge the last quarter of a run that has ended."""
        num = len(seen.validation)
        if not seen.final or seen.mode != "min" or num < self.min_num_evaluations:
            return None
        quarter = num // 4
        before, now = min(seen.validation[:-quarter]), min(seen.validation[-quarter:])
        fall = before - now
        trained = min(seen.train[-quarter:]) < min(seen.train[:-quarter])
        if before <= 0 or fall <= max(self.max_fall * before, self.max_noise * seen.noise) or not trained:
            return None
        return self.finding(
            seen,
            f"{seen.validation_name} fell from {before:.3g} to {now:.3g} in the last {quarter} of {num} evaluations, "
            f"by {fall / before:.2f} of it (threshold {self.max_fall:g})",
            evidence={"before": before, "now": now, "fall": fall / before, "max_fall": self.max_fall, "num_evaluations": num},
        )
