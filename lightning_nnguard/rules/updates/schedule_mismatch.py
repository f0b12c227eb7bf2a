"""NNG505."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ScheduleSeen
from lightning_nnguard.rules.rule import Rule, threshold

_STEPS = "self.trainer.estimated_stepping_batches"
_PER_STEP = '{"scheduler": scheduler, "interval": "step"}'


@dataclass(frozen=True, kw_only=True)
class ScheduleMismatch(Rule[ScheduleSeen]):
    """Schedule that is longer or shorter than the training it is for.

    What it checks:
        The length that a scheduler was given (`total_steps`, `T_max`, `total_iters`, `milestones`, `num_training_steps`, ...)
        against the steps that the Trainer will let it make: after each optimizer step or after each epoch, with accumulation,
        frequency, `max_steps` and what a resumed run has made before. A schedule for the whole run may be 0.8 to 1.25 times as
        long; a warm-up must end before the run does; a decay by factors must not have come to a millionth in the first third of
        the run.

    Why it matters:
        By default Lightning steps a scheduler once an epoch. With a length in optimizer steps the rate hardly moves, and a
        warm-up never ends; with one in epochs, stepped after each optimizer step, it is at its end before the first epoch is, or
        goes up and down all the time. Nothing fails, the result is only worse.

    How to fix:
        Return `{"scheduler": scheduler, "interval": "step"}` from `configure_optimizers` and take the length from
        `self.trainer.estimated_stepping_batches`, which knows accumulation and ranks; or count in epochs, with
        `self.trainer.max_epochs` and `"interval": "epoch"`.

    When it is harmless:
        A run that is a part of a longer plan. Not judged are manual optimisation, `ReduceLROnPlateau`, schedulers of other kinds
        than torch's, an own `lr_scheduler_step`, runs without a known end, rehearsals (`fast_dev_run`, `overfit_batches`), a
        schedule that fits the run without `limit_train_batches`, and one that is too short only because early stopping may end
        the run. A warm-up alone may be short. A cosine that goes down and up a whole number of times, three or more, and a
        `StepLR` that never gets to its first drop are only mentioned.

    References:
        Lightning documentation, `configure_optimizers`; PyTorch documentation, `torch.optim.lr_scheduler`.
    """

    code: ClassVar[str] = "NNG505"
    name: ClassVar[str] = "schedule-mismatch"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the learning rate does not follow the schedule that was meant: it stands still, ends early or rises again"
    fix: ClassVar[str] = (
        'return {"scheduler": scheduler, "interval": "step"} with a length of self.trainer.estimated_stepping_batches, '
        'or "interval": "epoch" with self.trainer.max_epochs'
    )

    min_share: float = threshold(0.8, "shortest healthy schedule of a whole run, as a share of the run")
    max_share: float = threshold(1.25, "longest healthy schedule of a whole run, as a share of the run", low=1.0)
    max_warm_up_share: float = threshold(1.0, "longest healthy warm-up, and wait for the first drop, as a share of the run")
    min_fade_share: float = threshold(0.33, "share of the run in which factors may not bring the rate to a millionth", high=1.0)
    min_stair_fade_share: float = threshold(0.5, "the same for stairs that would do if steps were epochs", high=1.0)
    max_unit_error: float = threshold(0.05, "relative distance at which a length counts as one in another unit", high=0.2)
    min_num_cycles: float = threshold(3, "whole halves of a cosine that count as meant", low=2)

    def check(self, seen: ScheduleSeen) -> Finding | None:
        """Judge one length of one scheduler."""
        share = seen.length / seen.num_planned
        unlimited = share if seen.num_without_limit is None else seen.length / seen.num_without_limit
        unit, cure = next(self._other_units(seen), ("", ""))
        if seen.part in {"warm-up", "drop"}:
            if min(share, unlimited) <= self.max_warm_up_share:
                return None
            what = "never ends its warm-up" if seen.part == "warm-up" else "never gets to its first drop"
            severity = Severity.WARNING if seen.part == "warm-up" else Severity.INFO
            return self._found(seen, what, f"threshold {self.max_warm_up_share:g}", unit, cure, severity)
        if seen.part == "fade":
            fits_epochs = self._fits_epochs(seen)
            is_stair = fits_epochs and seen.argument in {"step_size", "milestones"}
            least = self.min_stair_fade_share if is_stair else self.min_fade_share
            if share >= least or (seen.may_end_sooner and not fits_epochs):
                return None
            return self._found(seen, "brings the rate to a millionth early", f"threshold {least:g}", unit, cure)
        band = f"threshold {self.min_share:g} to {self.max_share:g}"
        if self.min_share <= share <= self.max_share or self.min_share <= unlimited <= self.max_share:
            return None
        if share > self.max_share:
            return self._found(seen, "does not come to its end", band, unit, cure)
        if not unit and (seen.part == "decay" or seen.may_end_sooner):
            return None
        num_halves = seen.num_planned / seen.length
        is_meant = seen.rises_again and not unit and round(num_halves) >= self.min_num_cycles
        if is_meant and abs(num_halves - round(num_halves)) <= self.max_unit_error * num_halves / round(num_halves):
            return self._found(seen, f"goes down and up {round(num_halves)} times", band, unit, cure, Severity.INFO)
        return self._found(seen, "goes up again" if seen.rises_again else "ends early", band, unit, cure)

    def _other_units(self, seen: ScheduleSeen) -> Iterator[tuple[str, str]]:
        """Iterate over what the length is in another unit than the scheduler's, and the cure of that."""
        steps, epochs, name = seen.num_optimizer_steps, seen.num_epochs, seen.argument
        if seen.interval == "epoch":
            if steps is not None and (self._is(seen.length, steps) or (seen.part == "warm-up" and seen.length < steps)):
                yield "it is in optimizer steps, but it steps once an epoch", f"return {_PER_STEP}"
            return
        if epochs is not None and seen.num_planned > 2 * epochs and (seen.length == epochs or self._fits_epochs(seen)):
            longer = "" if seen.part == "fade" else f", or {name}={_STEPS}"
            yield "it is in epochs, but it steps after each optimizer step", f'step it with "interval": "epoch"{longer}'
        if steps is not None and seen.accumulation > 1:
            if self._is(seen.length, steps * seen.accumulation):
                yield f"it is in batches, of which {seen.accumulation} are accumulated for a step", f"{name}={_STEPS}"
            if self._is(seen.length, steps / seen.accumulation):
                yield f"the accumulation of {seen.accumulation} batches is counted twice", f"{name}={_STEPS}"
        if steps is not None and seen.world_size > 1:
            if self._is(seen.length, steps * seen.world_size):
                yield f"it counts the batches of all {seen.world_size} ranks", f"{name}={_STEPS}"
            if self._is(seen.length, steps / seen.world_size):
                yield f"the {seen.world_size} ranks are counted twice", f"{name}={_STEPS}"

    def _is(self, length: float, other: float) -> bool:
        return abs(length - other) <= self.max_unit_error * other

    def _fits_epochs(self, seen: ScheduleSeen) -> bool:
        """Return whether factors would do with the same number of epochs, but not with that of steps."""
        by_step = seen.part == "fade" and seen.interval == "step" and seen.num_epochs is not None
        return by_step and seen.length >= self.min_fade_share * (seen.num_epochs or 0.0)

    def _found(
        self, seen: ScheduleSeen, what: str, limit: str, unit: str, cure: str, severity: Severity | None = None
    ) -> Finding:  # fmt: skip
        share, after = seen.length / seen.num_planned, "optimizer step" if seen.interval == "step" else "epoch"
        own = f"{seen.argument}={_STEPS if seen.interval == 'step' else 'self.trainer.max_epochs'}"
        unit = f"{unit}; " if unit else ""
        cure = cure or (own if seen.part in {"whole", "decay"} else "give it a length within the run")
        message = (
            f"{seen.kind} {what}: its {seen.argument} means {seen.length:.6g} steps, but the Trainer lets it make "
            f"{seen.num_planned:.6g}, one after each {after} ({share:.2g} times the run, {limit}); {unit}{cure}"
        )
        evidence: dict[str, float | int | str] = {
            "kind": seen.kind, "argument": seen.argument, "part": seen.part, "length": seen.length, "num_planned": seen.num_planned,
            "interval": seen.interval, "share": share, "min_share": self.min_share, "max_share": self.max_share,
        }  # fmt: skip
        return self.finding(seen, message, evidence=evidence, severity=severity)
