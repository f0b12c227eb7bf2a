"""What a run under guard asks its Trainer."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from torch import Tensor
from torch.optim import Optimizer

from lightning_nnguard.probe.at import At

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class TrainerView:
    """Reads facts off a Trainer.

    Args:
        trainer: The Trainer.
        module: The user's module.
    """

    def __init__(self, trainer: Trainer, module: LightningModule) -> None:
        self._trainer, self._module = trainer, module

    def at(self, batch_index: int = 0) -> At:
        """Return the present moment; steps are counted like on the axis of Lightning's loggers."""
        trainer = self._trainer
        step = getattr(trainer.fit_loop.epoch_loop, "_batches_that_stepped", None)
        return At(step=trainer.global_step if step is None else step, epoch=trainer.current_epoch, batch_index=batch_index)

    def steps_after(self, batch_index: int) -> bool:
        """Return whether the optimizer steps after a batch: always by hand, else after the last one that is accumulated."""
        trainer = self._trainer
        if not self._module.automatic_optimization or trainer.is_last_batch:
            return True
        return (batch_index + 1) % trainer.accumulate_grad_batches == 0

    def loss_of(self, outputs: object) -> Tensor | None:
        """Return the loss of a batch as the user computed it, from what the training step returned; None when there is none."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
            return None
        num_accumulated = self._trainer.accumulate_grad_batches
        if self._module.automatic_optimization and num_accumulated > 1:
            return loss.detach() * num_accumulated  # Lightning has divided it
        return loss

    def sizes(self) -> tuple[int | None, int | None]:
        """Return the samples of the training set, and the optimizer steps of an epoch; None for what is unknown."""
        trainer = self._trainer
        try:
            population: int | None = len(trainer.train_dataloader.dataset)  # type: ignore[union-attr]
        except Exception:  # whatever a dataset of the user's raises that has no length
            population = None
        batches = trainer.num_training_batches
        return population, math.ceil(batches / trainer.accumulate_grad_batches) if math.isfinite(batches) else None

    def _scaler(self) -> object | None:
        scaler = getattr(self._trainer.precision_plugin, "scaler", None)
        return scaler if scaler is not None and scaler.is_enabled() else None

    @property
    def has_scaler(self) -> bool:
        """Whether a gradient scaler is in use."""
        return self._scaler() is not None

    def scaler_scale(self, optimizer: Optimizer) -> Tensor | None:
        """Return the scale of gradients that Lightning leaves scaled: those of optimizers that unscale by themselves (fused)."""
        scaler = self._scaler()
        return getattr(scaler, "_scale", None) if getattr(optimizer, "_step_supports_amp_scaling", False) else None

    def context(self) -> AbstractContextManager[object]:
        """Return the precision context of a training step."""
        make = getattr(self._trainer.precision_plugin, "forward_context", None)
        return make() if make is not None else nullcontext()
