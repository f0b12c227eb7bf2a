"""The plan of a Trainer, against which schedules are held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_nnguard.callbacks.horizons import horizons_of
from lightning_nnguard.observation import ScheduleSeen
from lightning_nnguard.probe.at import At

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

#: Callbacks that take schedulers into their own hands or change the accumulation on the way, and those that end a run early.
_TAKE_OVER = frozenset({"StochasticWeightAveraging", "GradientAccumulationScheduler", "LearningRateFinder", "BaseFinetuning"})
_END_EARLY = frozenset({"EarlyStopping", "Timer"})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a Trainer will do, as far as that is known when training begins.

    Attributes:
        steps_per_epoch: Optimizer steps of an epoch; None for an endless loader.
        batches_per_epoch: Batches of an epoch; None for an endless loader.
        num_epochs: Epochs of the whole run, of which the last may be a part; None when unknown.
        num_steps: Optimizer steps of the whole run; None when unknown.
        accumulation: Batches that are accumulated for one step.
    """

    steps_per_epoch: int | None
    batches_per_epoch: int | None
    num_epochs: float | None
    num_steps: float | None
    accumulation: int


def plan_of(trainer: Trainer, *, num_batches: float | None = None) -> Plan:
    """Return what a Trainer will do.

    Args:
        trainer: The Trainer.
        num_batches: Batches of an epoch; None for what the Trainer says.
    """
    batches = trainer.num_training_batches if num_batches is None else num_batches
    accumulation = trainer.accumulate_grad_batches
    per_epoch = math.ceil(batches / accumulation) if math.isfinite(batches) and batches > 0 else None
    max_epochs, max_steps = trainer.max_epochs, trainer.max_steps
    epochs = float(max_epochs) if max_epochs is not None and max_epochs >= 0 else None
    steps = float(max_steps) if max_steps >= 0 else None
    if per_epoch is not None:
        by_epochs = None if epochs is None else epochs * per_epoch
        steps = min((each for each in (steps, by_epochs) if each is not None), default=None)
        epochs = None if steps is None else steps / per_epoch
    elif steps is not None:
        epochs = None  # the loader may end at any time
    whole = int(batches) if per_epoch is not None else None
    return Plan(
        steps_per_epoch=per_epoch, batches_per_epoch=whole, num_epochs=epochs, num_steps=steps, accumulation=accumulation
    )  # fmt: skip


def num_planned(plan: Plan, trainer: Trainer, config: Any) -> float | None:
    """Return the steps that a scheduler will have made at the end of the plan; None when that is unknown.

    Lightning steps it when the number of the batch in its epoch, or of the epoch, is a multiple of its frequency.
    """
    frequency = max(int(config.frequency), 1)
    done = max(float(getattr(config.scheduler, "last_epoch", 0)), 0.0)
    if config.interval == "epoch":
        left = None if plan.num_epochs is None else (plan.num_epochs - trainer.current_epoch) / frequency
    elif plan.num_steps is None:
        return None
    else:
        left = plan.num_steps - trainer.global_step
        if frequency > 1:
            if plan.steps_per_epoch is None or plan.batches_per_epoch is None:
                return None
            rest = plan.batches_per_epoch % plan.accumulation and plan.batches_per_epoch % frequency == 0
            made = plan.batches_per_epoch // math.lcm(frequency, plan.accumulation) + bool(rest)
            left *= made / plan.steps_per_epoch
    return None if left is None or left <= 0 else done + left


def schedules_of(trainer: Trainer, module: LightningModule, at: At) -> Sequence[ScheduleSeen]:
    """Return each length that a scheduler was given, with the steps that the Trainer will let it make.

    Nothing is returned where somebody else steps the schedulers: in manual optimisation, with an own `lr_scheduler_step`, or where
    a callback takes them over; nor for rehearsals (`fast_dev_run`, `overfit_batches`).
    """
    names = {parent.__name__ for each in trainer.callbacks for parent in type(each).__mro__}  # type: ignore[attr-defined]
    if (
        not module.automatic_optimization
        or not type(module).lr_scheduler_step.__module__.startswith(("lightning.", "pytorch_lightning."))
        or names & _TAKE_OVER
        or trainer.fast_dev_run  # type: ignore[attr-defined]
        or trainer.overfit_batches  # type: ignore[attr-defined]
        or trainer.reload_dataloaders_every_n_epochs  # type: ignore[attr-defined]
    ):
        return ()
    plan, unlimited = plan_of(trainer), _without_limit(trainer)
    seen = []
    for i, config in enumerate(trainer.lr_scheduler_configs):
        planned = None if config.reduce_on_plateau else num_planned(plan, trainer, config)
        if planned is None or config.interval not in {"step", "epoch"}:
            continue
        whole = None if unlimited is None else num_planned(unlimited, trainer, config)
        seen += [
            ScheduleSeen(
                where=f"lr_schedulers[{i}]", step=at.step, epoch=at.epoch, kind=each.kind, argument=each.argument, part=each.part,
                length=each.length, num_planned=planned, interval="step" if config.interval == "step" else "epoch",
                num_optimizer_steps=plan.num_steps, num_epochs=plan.num_epochs, accumulation=plan.accumulation,
                world_size=trainer.world_size, num_without_limit=whole, rises_again=each.rises_again,
                may_end_sooner=bool(names & _END_EARLY),
            )
            for each in horizons_of(config.scheduler)
        ]  # fmt: skip
    return seen


def _without_limit(trainer: Trainer) -> Plan | None:
    """Return the plan without `limit_train_batches`; None without a limit, or where the length of the loader is not known."""
    try:
        num = float(len(trainer.train_dataloader))  # type: ignore[arg-type]
    except Exception:  # whatever a loader of the user's raises that has no length
        return None
    return plan_of(trainer, num_batches=num) if num > trainer.num_training_batches else None
