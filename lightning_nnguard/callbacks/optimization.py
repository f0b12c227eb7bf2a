"""What the Trainer knows of the work of its optimizers: schedules, settings, clipping, the scaler, averages of the weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from lightning_nnguard.callbacks.averages import AverageWatch
from lightning_nnguard.callbacks.optimizer_settings import settings_of
from lightning_nnguard.callbacks.schedules import plan_of, schedules_of
from lightning_nnguard.observation import AverageSeen, OptimizerSettingSeen, ScheduleSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.optimization.plan import OptimizationPlan

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class OptimizationFacts:
    """What a Trainer and a module say of their optimizers. Whatever their objects raise is noted and ends that part alone.

    Args:
        trainer: The Trainer.
        module: The user's module.
        wanted: Kinds of observation that somebody asks for.
        note: Takes a line about something that could not be done.
        strict: Whether an error is raised instead.
    """

    def __init__(
        self, trainer: Trainer, module: LightningModule, wanted: Collection[type[Seen]], note: Callable[[str], None],
        *, strict: bool = False,
    ) -> None:  # fmt: skip
        self._trainer, self._module, self._wanted = trainer, module, wanted
        self._attempts = Attempts(note, strict=strict)
        self._averages: AverageWatch | None = None

    @property
    def plan(self) -> OptimizationPlan:
        """What the probe may ask."""
        return OptimizationPlan(
            num_steps=self._num_steps, steps_per_epoch=self._steps_per_epoch, clip_norm=self._clip_norm, scale=self._scale
        )

    def start(self, at: At) -> Sequence[Seen]:
        """Return the schedules and the settings when training begins."""
        seen: list[Seen] = []
        if ScheduleSeen in self._wanted:
            self._attempts.run("schedules", lambda: seen.extend(schedules_of(self._trainer, self._module, at)))
        if OptimizerSettingSeen in self._wanted:
            self._attempts.run("settings of the optimizers", lambda: seen.extend(settings_of(self._trainer.optimizers, at)))
        if AverageSeen in self._wanted:
            self._attempts.run("averages of the weights", lambda: self._watch_averages(at))
        return seen

    def _watch_averages(self, at: At) -> None:
        self._averages = AverageWatch(self._trainer, self._module, at.step)

    def end(self, at: At) -> Sequence[Seen]:
        """Return what has become of the averages when training ends."""
        seen: list[Seen] = []
        averages, self._averages = self._averages, None
        if averages is not None:
            self._attempts.run("averages of the weights", lambda: seen.extend(averages.end(self._trainer, at)))
        return seen

    def _num_steps(self) -> float | None:
        return plan_of(self._trainer).num_steps

    def _steps_per_epoch(self) -> int | None:
        return plan_of(self._trainer).steps_per_epoch

    def _clip_norm(self) -> float | None:
        """Return the limit of the Trainer; None where it clips values, or where the user's module clips by itself."""
        trainer, module = self._trainer, self._module
        own = (type(module).configure_gradient_clipping, type(module).clip_gradients)
        is_own = not all(each.__module__.startswith(("lightning.", "pytorch_lightning.")) for each in own)
        limit, algorithm = trainer.gradient_clip_val, trainer.gradient_clip_algorithm
        if is_own or not module.automatic_optimization or not limit or algorithm not in {None, "norm"}:
            return None
        return float(limit)

    def _scale(self) -> Tensor | None:
        scaler = getattr(self._trainer.precision_plugin, "scaler", None)
        scale = getattr(scaler, "_scale", None)
        return scale if isinstance(scale, Tensor) else None
