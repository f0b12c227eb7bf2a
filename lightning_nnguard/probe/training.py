"""What is watched in training: each batch as it goes, the sampled ones closely."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.cadence import Cadence
from lightning_nnguard.probe.compiled import COMPILED, EAGER, UNSEEN
from lightning_nnguard.probe.forward import ForwardWatch
from lightning_nnguard.probe.parameters import learning_rates
from lightning_nnguard.probe.parts import Parts
from lightning_nnguard.probe.schedule import is_sampled

#: Sampled steps that all draw histograms, and then every so manieth: TensorBoard keeps 100 to 500 of them anyway.
_ALL_HISTOGRAMS = 20
_HISTOGRAMS_EVERY = 4


class _Abandons(Protocol):
    def abandon(self) -> None:
        """Forget a batch that does not come to its end."""


class TrainingWatch:
    """Hands the moments of a training batch on to the parts.

    Args:
        parts: What the probe watches with.
        forward: Watches the forward of a batch.
        cadence: Which steps are sampled.
        attempts: Runs the parts.
        optimizers: Returns the run's optimizers.
        scaler_scale: Returns the gradient scaler's scale for an optimizer whose gradients are still scaled at its step; else None.
        has_scaler: Whether a gradient scaler is in use.
        note: Takes a line about something the guard could not do.

    Attributes:
        is_sampling: Whether this batch is sampled.
        has_begun: Whether there has been a batch.
        num_sampled: Steps that were sampled and came to their end.
        at: Moment of the latest batch.
    """

    def __init__(
        self,
        parts: Parts,
        forward: ForwardWatch,
        *,
        cadence: Cadence,
        attempts: Attempts,
        optimizers: Callable[[], Sequence[Optimizer]],
        scaler_scale: Callable[[Optimizer], Tensor | None],
        has_scaler: bool,
        note: Callable[[str], None],
    ) -> None:
        self._parts, self._forward, self._cadence, self._attempts, self._note = parts, forward, cadence, attempts, note
        self._optimizers, self._scaler_scale, self._has_scaler = optimizers, scaler_scale, has_scaler
        self._stands_by = False
        self._step_hooks: list[RemovableHandle] = []
        self._measured: set[int] = set()
        self.is_sampling = self.has_begun = False
        self.num_sampled = 0
        self.at = At(step=0, epoch=0, batch_index=0)

    def start_batch(self, batch: object, at: At, *, steps: bool, manual: bool) -> None:
        """Begin a training batch.

        Args:
            batch: The batch.
            at: Its moment.
            steps: Whether the optimizer steps after this batch (the last micro-batch of an accumulation).
            manual: Whether the user steps the optimizers by hand.
        """
        if self.is_sampling:  # the batch before was skipped after it had begun
            self.abandon()
        if at.epoch != self.at.epoch or not self.has_begun:
            self._attempts.run("forward watch", self._forward.look)  # modules may have been added, frozen or compiled
            if self._parts.resets is not None and not self._stands_by:
                self._attempts.run("resets", self._parts.resets.start_epoch)
        self.has_begun = True
        self.at = at
        self.is_sampling = steps and is_sampled(at.step, self._cadence.every_n_steps)
        if self._stands_by:
            return
        if self._parts.nonfinite is not None:
            self._attempts.run("non-finite", self._parts.nonfinite.start_batch, batch, at, sampled=self.is_sampling)
        for name, watch in self._parts.batches.items():
            self._attempts.run(name, watch.start_batch, batch, at, sampled=self.is_sampling)
        if self.is_sampling:
            self._start_sampled(batch, at, manual=manual)

    def _start_sampled(self, batch: object, at: At, *, manual: bool) -> None:
        parts = self._parts
        self._measured.clear()
        if not self._attempts.is_off("forward watch") and self._forward.start():
            self._note(EAGER)
        for collector in (parts.activations, parts.gradients):
            if collector is not None:
                collector.draws_histograms = self.num_sampled < _ALL_HISTOGRAMS or self.num_sampled % _HISTOGRAMS_EVERY == 0
        if parts.modes is not None:
            parts.modes.stage = "train"
        if parts.losses is not None:
            parts.losses.is_objective = not manual
            parts.losses.chance.offer(batch)
        if parts.inventory is not None:
            self._attempts.run("inventory", parts.inventory.start_batch, at)
        if parts.steps is not None:
            parts.steps.start_batch()
        if parts.mode_losses is not None and not manual and self._forward.can_listen:
            self._attempts.run("loss by mode", partial(parts.mode_losses.start_batch, batch, at))
        if not self._attempts.is_off("forward watch"):
            if parts.audit is not None and self._forward.can_listen:
                self._attempts.run("audit", partial(parts.audit.start_training, batch, at, manual=manual))
            recorder = parts.audit.recorder if parts.audit is not None and not self._attempts.is_off("audit") else None
            self._attempts.run("forward watch", partial(self._forward.attach, recorder))
            if not self._forward.can_listen:
                self._note(f"{COMPILED}{'' if parts.audit is None else 'in training, '}{UNSEEN}")
        if parts.agreement is not None:
            parts.agreement.start_batch(batch)
        if manual and any(
            each is not None for each in (parts.gradients, parts.updates, parts.steps, parts.inventory, parts.optimization)
        ):
            # Raw optimizers bypass Lightning's hook.
            for optimizer in self._optimizers():
                hook = partial(_before_raw_step, self)
                self._step_hooks.append(optimizer.register_step_pre_hook(hook))

    def before_backward(self, loss: Tensor) -> None:
        """Take the loss before its backward pass; the forward has ended."""
        if self._stands_by:
            return
        if self.is_sampling:
            self._forward.pause()
            if self._parts.agreement is not None:
                self._parts.agreement.before_backward()
            if self._parts.audit is not None and isinstance(loss, Tensor):
                self._attempts.run("audit", partial(self._parts.audit.note_loss, loss))
        if self._parts.nonfinite is not None and isinstance(loss, Tensor):
            self._attempts.run("non-finite", self._parts.nonfinite.check_loss, loss)
        if self._parts.inventory is not None and isinstance(loss, Tensor):
            self._attempts.run("inventory", self._parts.inventory.check_loss, loss, self.at)
        if self._parts.steps is not None:
            self._parts.steps.before_backward(self.at)

    def after_backward(self, *, manual: bool) -> None:
        """Take the end of a backward pass; with manual optimisation another forward may follow."""
        if self._stands_by:
            return
        if self._parts.steps is not None:
            self._parts.steps.after_backward(sampled=self.is_sampling)
        if not self.is_sampling:
            return
        if self._parts.audit is not None:
            self._attempts.run("audit", self._parts.audit.end_backward)
        if manual:
            self._forward.resume()

    def before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Take the moment before an optimizer moves weights: gradients are accumulated, reduced, not yet clipped."""
        if self._stands_by:
            return
        if self._parts.nonfinite is not None and not self._has_scaler:
            self._attempts.run("non-finite", self._parts.nonfinite.check_gradients)
        if self._parts.inventory is not None and self.is_sampling:
            self._attempts.run("inventory", self._parts.inventory.note_step, optimizer)
        if self._parts.steps is not None:
            self._parts.steps.before_step(optimizer, self.at, sampled=self.is_sampling)
        if self.is_sampling and id(optimizer) not in self._measured:
            self._measured.add(id(optimizer))
            self._measure(optimizer)

    def before_raw_step(self, optimizer: Optimizer, *, has_closure: bool) -> None:
        """Take the same moment from the optimizer itself; when the step has a closure, backward is yet to come."""
        if self._parts.steps is not None and not has_closure and not self._stands_by:
            self._parts.steps.before_step(optimizer, self.at, sampled=self.is_sampling)
        if self._parts.inventory is not None and not has_closure and self.is_sampling and not self._stands_by:
            self._attempts.run("inventory", self._parts.inventory.note_step, optimizer)
        if self.is_sampling and id(optimizer) not in self._measured and not self._stands_by:
            self._measure(optimizer)

    def _measure(self, optimizer: Optimizer) -> None:
        rates = learning_rates(self._optimizers())
        largest = max(rates.values(), default=0.0)
        if self._parts.losses is not None:
            self._parts.losses.note_rate(largest, self.at.step)
        if self._parts.gradients is not None:
            own = {id(each) for group in optimizer.param_groups for each in group["params"]}
            others = set(rates) - own
            scale = self._scaler_scale(optimizer)
            self._attempts.run("gradients", self._parts.gradients.measure, others, scale, largest, self.at.step)
        if self._parts.updates is not None:
            self._attempts.run("updates", self._parts.updates.snapshot, rates, self.at.step)
        if self._parts.optimization is not None:
            self._parts.optimization.before_step(optimizer, self.at.step)

    def end_batch(self, loss: Tensor | None) -> bool:
        """End a training batch.

        Args:
            loss: shape (), the batch's loss; None when the step returned none.

        Returns:
            Whether it was sampled, so that its numbers are to be exchanged.
        """
        if loss is not None and self._parts.losses is not None and not self._stands_by:
            self._parts.losses.push(loss.detach() if loss.dim() == 0 else loss.detach().reshape(()), self.at)
        if not self.is_sampling:
            return False
        self.is_sampling = False
        self._detach()
        self.num_sampled += 1
        if self._parts.updates is not None and not self._stands_by:
            self._attempts.run("updates", self._parts.updates.measure)
        if self._parts.steps is not None and not self._stands_by:
            self._parts.steps.end_batch(self.at)
        if self._parts.optimization is not None and not self._stands_by:
            self._parts.optimization.end_batch()
        if self._parts.agreement is not None and not self._stands_by:
            self._parts.agreement.end_batch()
        return True

    def abandon(self) -> None:
        """Forget a sampled batch that does not come to its end."""
        self._detach()
        self.is_sampling = False
        self._forget(self._parts.steps, self._parts.optimization, self._parts.audit, self._parts.updates, self._parts.inventory)

    def end_epoch(self) -> None:
        """End a training epoch; its last batch may have been skipped after it had begun."""
        if self.is_sampling:
            self.abandon()
        if self._parts.resets is not None and not self._stands_by:
            self._attempts.run("resets", self._parts.resets.end_epoch)

    def stand_by(self) -> None:
        """Watch nothing from now on; a sampled batch still comes to its end, for the exchange between ranks."""
        self._stands_by = True
        self._detach()
        self._forget(self._parts.steps, self._parts.optimization, self._parts.audit)

    @staticmethod
    def _forget(*watches: _Abandons | None) -> None:
        for watch in watches:
            if watch is not None:
                watch.abandon()

    def _detach(self) -> None:
        self._forward.detach()
        if self._parts.inputs is not None:
            self._parts.inputs.detach()
        for handle in self._step_hooks:
            handle.remove()
        self._step_hooks.clear()


def _before_raw_step(watch: TrainingWatch, optimizer: Optimizer, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    has_closure = any(callable(each) for each in [*args[1:], kwargs.get("closure")])  # the first argument is the optimizer
    watch.before_raw_step(optimizer, has_closure=has_closure)
