"""The recorder: a plain Lightning callback that writes down what the rules of all tools ask for. It may be slow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from torch import Tensor, nn

from benchmarks.faults.baselines import measure
from benchmarks.faults.baselines.bare import BareLayers
from benchmarks.faults.baselines.calls import LossCall
from benchmarks.faults.baselines.data import DataWatch
from benchmarks.faults.baselines.ear import Ear
from benchmarks.faults.baselines.modes import both_modes
from benchmarks.faults.baselines.recording import DEFAULT, TEN, EpochSeen, InitialSeen, Recording, StepSeen
from benchmarks.faults.baselines.seen import GradSeen, OutputSeen, WeightSeen

MODES_EVERY = 250


class Recorder(pl.Callback):
    """Writes down a run.

    Args:
        is_detailed: Whether all is measured at a step; losses, accuracies and rates are at each. Each epoch's last step is, too.
        keeps_outputs: Whether the outputs of the last ten batches are kept, to be judged at each tenth step.
    """

    def __init__(self, is_detailed: Callable[[int], bool], *, keeps_outputs: bool = False) -> None:
        self._wants = is_detailed
        self._ear = Ear(keeps_outputs=keeps_outputs)
        self._is_detailed = False
        self._step, self._epoch = 0, 0
        self._grads: dict[str, GradSeen] = {}
        self._losses: list[float] = []
        self._loss = 0.0
        self._before: dict[str, Tensor] = {}
        self._saved: dict[int, dict[str, Tensor]] = {}
        self._bare = BareLayers()
        self._data = DataWatch()
        self._validation: list[float] = []
        self._planned = 0
        self._initial: list[InitialSeen] = []
        self._steps: list[StepSeen] = []
        self._epochs: list[EpochSeen] = []
        self._modes: list[tuple[int, float, float]] = []

    def recording(self, *, is_whole: bool) -> Recording:
        """Return what was written down."""
        first = self._ear.first
        return Recording(
            num_epochs=self._planned,
            task=None if first is None else "classification" if first.is_classification else "regression",
            num_classes=first.num_classes if first is not None else 0,
            data=self._data.seen(),
            initial=tuple(self._initial),
            steps=tuple(self._steps),
            epochs=tuple(self._epochs),
            bare_layers=self._bare.found(),
            modes=tuple(self._modes),
            is_whole=is_whole,
        )

    # -- Lightning's hooks -------------------------------------------------------------------------------------------------------

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._planned = trainer.max_epochs or 0
        modules = dict(pl_module.named_modules())
        self._ear.watch(modules)
        if not self._ear.is_deaf:
            self._bare.watch(modules)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._initial = [measure.initial(name, each) for name, each in pl_module.named_parameters() if each.numel()]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        self._epoch = trainer.current_epoch
        self._is_detailed = self._wants(self._step) or batch_idx + 1 == trainer.num_training_batches
        self._grads, self._losses = {}, []
        self._before = _copies(pl_module) if self._is_detailed else {}
        self._bare.is_on = self._step == 0
        self._ear.begin(self._step, hears_all=self._is_detailed)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        self._losses.append(float(loss.detach()))
        if pl_module.automatic_optimization:
            self._ear.end()

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        if self._is_detailed:
            self._grads.update(
                {name: measure.gradient(each.grad) for name, each in pl_module.named_parameters() if each.grad is not None}
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._ear.end()
        self._bare.is_on = False
        returned = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(returned, Tensor):
            self._losses.insert(0, float(returned))
        self._loss = next(iter(self._losses), self._loss)
        call = self._ear.main_call()
        if self._epoch == 0:
            self._data.take(batch, call)
        right, seen = self._data.per_class(batch, call)
        self._steps.append(
            StepSeen(
                step=self._step,
                epoch=self._epoch,
                loss=self._loss,
                accuracy=None if call is None else call.accuracy,
                rates=tuple(float(group["lr"]) for each in trainer.optimizers for group in each.param_groups),
                is_detailed=self._is_detailed,
                acts=tuple(self._ear.acts),
                layers=tuple(self._ear.layers),
                weights=tuple(self._weights(pl_module)),
                output=self._output(call),
                right=right,
                seen=seen,
            )
        )
        if self._step and self._step % MODES_EVERY == 0 and (both := both_modes(pl_module, batch)) is not None:
            self._modes.append((self._step, *both))
        self._step += 1

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._ear.begin(-1, hears_all=False)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._ear.end()
        found = [call.accuracy for call in self._ear.calls]
        self._validation += [each for each in found if each is not None]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        mine = [each for each in self._steps if each.epoch == self._epoch]
        accuracies = [each.accuracy for each in mine if each.accuracy is not None]
        logged = (float(value) for name, value in trainer.callback_metrics.items() if "val" in name and "loss" in name)
        self._epochs.append(
            EpochSeen(
                epoch=self._epoch,
                step=max(self._step - 1, 0),
                train_loss=_mean([each.loss for each in mine]),
                val_loss=next(logged, None),
                train_accuracy=_mean(accuracies) if accuracies else None,
                val_accuracy=_mean(self._validation) if self._validation else None,
            )
        )
        self._validation = []

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.close()

    def close(self) -> None:
        """Take hooks and mode away; after an exception, too."""
        self._ear.close()
        self._bare.close()

    # -- measuring ---------------------------------------------------------------------------------------------------------------

    def _weights(self, pl_module: pl.LightningModule) -> list[WeightSeen]:
        if not self._is_detailed:
            return []
        linear = {id(module.weight) for module in pl_module.modules() if isinstance(module, nn.Linear)}
        saved = {interval: self._saved.get(interval, {}) for interval in (TEN, DEFAULT) if self._step % interval == 0}
        found = []
        for name, each in pl_module.named_parameters():
            if name in self._before and each.numel():
                found.append(
                    measure.weight(
                        name,
                        self._before[name],
                        is_linear=id(each) in linear,
                        after=each.detach(),
                        saved={interval: tensors[name] for interval, tensors in saved.items() if name in tensors},
                        grad=self._grads.get(name),
                    )
                )
        after = _copies(pl_module) if saved else {}
        self._saved.update(dict.fromkeys(saved, after))
        return found

    def _output(self, call: LossCall | None) -> OutputSeen | None:
        if call is None or not self._is_detailed or not call.prediction.numel():
            return None
        return measure.output(call.prediction, is_log=call.is_log)


def _copies(pl_module: pl.LightningModule) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in pl_module.named_parameters()}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
