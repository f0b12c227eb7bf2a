"""NNG506."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import RateSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class ZeroLearningRate(Rule[RateSeen]):
    """Learning rate of exactly zero in all groups, for a good part of the run.

    What it checks:
        The learning rates of all groups of parameters on sampled steps. At the beginning they may be zero for at most 100 steps
        and 5 % of the run; behind steps with a rate, for at most 5 % of the run, or 100 steps where its length is not known.

    Why it matters:
        Nothing is trained meanwhile: each of these steps costs what any step costs, and changes no weight.

    How to fix:
        At the beginning: start the warm-up at (step + 1) / num_warmup_steps, and see that a rate of 0 is not the base rate that a
        scheduler multiplies. A warm-up by epochs that begins at 0 loses its whole first epoch. At the end: give the schedule the
        length of the run, `self.trainer.estimated_stepping_batches`, or a smallest rate such as `eta_min=1e-6`.

    When it is harmless:
        When the run is meant to change nothing but running statistics. Groups with a rate of 0 beside others that have one, as in
        a GAN whose discriminator waits, are not judged, nor is a single epoch at the lowest point of a schedule that steps once
        an epoch, nor are optimizers that keep their rate elsewhere.

    References:
        PyTorch documentation, `torch.optim.lr_scheduler.LambdaLR`.
    """

    code: ClassVar[str] = "NNG506"
    name: ClassVar[str] = "zero-learning-rate"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "no weight changes while every learning rate is 0"
    fix: ClassVar[str] = (
        "begin a warm-up at (step + 1) / num_warmup_steps; end a schedule at self.trainer.estimated_stepping_batches "
        "or at a smallest rate above 0"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG505"})

    max_span: float = threshold(100, "steps with no learning rate that are healthy at the beginning, or in a run of unknown length")
    max_share: float = threshold(0.05, "share of the run with no learning rate that is healthy", high=1.0)
    min_num_samples: float = threshold(3, "sampled steps in a row that must show it", low=2)

    def check(self, seen: RateSeen) -> Finding | None:
        """Judge how long all rates have been zero."""
        share = seen.zero_span / seen.num_planned if seen.num_planned else None
        is_long = seen.zero_span > self.max_span and (share is None or not seen.had_rate)
        is_much = share is not None and share > self.max_share
        if seen.had_rate and seen.steps_per_epoch is not None and seen.zero_span <= seen.steps_per_epoch:
            return None  # the lowest point of a schedule that steps once an epoch
        if seen.num_zero_samples < self.min_num_samples or not (is_long or is_much):
            return None
        whole = "" if share is None else f", {share:.0%} of the run, threshold {self.max_share:.0%}"
        when = "since it was above 0" if seen.had_rate else "from the beginning"
        return self.finding(
            seen,
            f"the learning rate is 0 in {seen.num_groups} of {seen.num_groups} groups {when}, over {seen.zero_span} steps "
            f"(threshold {self.max_span:g}{whole}; {seen.num_zero_samples} sampled steps)",
            evidence={
                "zero_span": seen.zero_span, "max_span": self.max_span, "share": -1.0 if share is None else share,
                "max_share": self.max_share, "num_zero_samples": seen.num_zero_samples, "num_groups": seen.num_groups,
            },
        )  # fmt: skip
