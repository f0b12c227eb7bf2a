"""The probe: watches batches, steps and evaluations of a live model and turns them into observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import ParamSpec

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lightning_nnguard import observation as o
from lightning_nnguard.probe import functions as fn
from lightning_nnguard.probe.activations import ActivationCollector
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.audit import Audit
from lightning_nnguard.probe.audit.readers import READERS
from lightning_nnguard.probe.cadence import Cadence
from lightning_nnguard.probe.calls import Recorder
from lightning_nnguard.probe.collector import Collector
from lightning_nnguard.probe.compiled import can_run_uncompiled
from lightning_nnguard.probe.exchange import Exchange
from lightning_nnguard.probe.forward import Extra, ForwardWatch
from lightning_nnguard.probe.gradients import GradientCollector
from lightning_nnguard.probe.inventory.inventory import Inventory
from lightning_nnguard.probe.losses import LossCollector
from lightning_nnguard.probe.mode_losses import ModeLossCollector
from lightning_nnguard.probe.modes import ModeCollector
from lightning_nnguard.probe.names import parameters_of
from lightning_nnguard.probe.nonfinite import NonFiniteWatch, Save
from lightning_nnguard.probe.parameters import Parameters, are_maximizing, learning_rates
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.schedule import is_sampled
from lightning_nnguard.probe.settings import ProbeSettings
from lightning_nnguard.probe.steps import KINDS as STEP_KINDS
from lightning_nnguard.probe.steps import StepWatch
from lightning_nnguard.probe.updates import UpdateCollector

_ACTIVATIONS = {o.ActivationSeen, o.ActivationProfileSeen, o.InitialProfileSeen, o.DeadUnitsSeen}
_UPDATES = {o.UpdateSeen, o.UpdateProfileSeen}
_GRADIENTS = {o.GradientSeen, o.GradientProfileSeen, o.GradientNormSeen, *_UPDATES}
Arguments = ParamSpec("Arguments")

#: Sampled steps that all draw histograms, and then every so manieth: TensorBoard keeps 100 to 500 of them anyway.
_ALL_HISTOGRAMS = 20
_HISTOGRAMS_EVERY = 4
_COMPILED = "code is compiled in this process: "
_UNSEEN = (
    "modules in compiled regions, functional calls (F.relu, F.dropout), modes of dropout and batch norm and the chance level of "
    "the loss are not seen"
)
_UNCOMPILED = (
    f"{_COMPILED}the first batch of an evaluation runs without the compiler to be audited, once and whenever the steps have "
    "doubled; its metrics may differ in the last digits"
)
_NOT_UNCOMPILED = (
    f"{_COMPILED}an evaluation was not audited without the compiler, because it may draw random numbers, "
    "which would be others then (the sanity check tells), or because it uses flex attention"
)


class Probe:
    """Watches one fit of one model.

    Args:
        model: The user's LightningModule.
        settings: What the probe may do.
        ranks: The processes that train together.
        optimizers: Returns the run's optimizers.
        save: Writes an offending batch to disk.
        context: Gives the precision context of a training step.
        scaler_scale: Returns the gradient scaler's scale for an optimizer whose gradients are still scaled at its step; else None.
        has_scaler: Whether a gradient scaler is in use.
        note: Takes a line about something the guard could not do.
        inventory: Looks at the set-up of the fit; None when nobody asked for it.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: ProbeSettings,
        *,
        ranks: Ranks,
        optimizers: Callable[[], Sequence[Optimizer]],
        save: Save,
        context: Callable[[], AbstractContextManager[object]],
        scaler_scale: Callable[[Optimizer], Tensor | None],
        has_scaler: bool,
        note: Callable[[str], None],
        inventory: Inventory | None = None,
    ) -> None:
        self._model, self._settings, self._ranks = model, settings, ranks
        self._optimizers, self._scaler_scale, self._has_scaler, self._note = optimizers, scaler_scale, has_scaler, note
        self.cadence = Cadence(settings.every_n_steps, settings.budget)
        self.num_sampled = 0
        self.seconds = 0.0
        self._began = perf_counter()
        self._parameters = Parameters(model, ranks)
        wanted = set(settings.wanted)
        device = self._parameters.device
        self._activations = (
            ActivationCollector(ranks=ranks, device=device, max_histograms=settings.activation_histograms)
            if wanted & _ACTIVATIONS or settings.activation_histograms
            else None
        )
        self._gradients = (
            GradientCollector(self._parameters, max_histograms=settings.gradient_histograms, has_scaler=has_scaler)
            if (wanted & _GRADIENTS or settings.gradient_histograms) and len(self._parameters)
            else None
        )
        self._updates = (
            UpdateCollector(self._parameters, max_bytes=settings.snapshot_bytes, has_scaler=has_scaler, gradients=self._gradients)
            if wanted & _UPDATES and self._gradients is not None
            else None
        )
        needs_loss = wanted & {o.LossSeen, o.NonFiniteSeen, o.GapSeen, o.ModeLossSeen}
        self.losses = LossCollector(ranks=ranks, device=device, num_slots=self.cadence.max_gap) if needs_loss else None
        self.modes = (
            ModeCollector(model, ranks=ranks, device=device, optimized=lambda: set(learning_rates(self._optimizers())))
            if wanted & {o.ModeSeen, o.GapSeen}
            else None
        )
        immediate = settings.sync or device.type == "cpu"
        self._nonfinite = (
            NonFiniteWatch(model, self._parameters, ranks=ranks, immediate=immediate, save=save, context=context)
            if o.NonFiniteSeen in wanted
            else None
        )
        losses = self.losses
        self._mode_losses = (
            ModeLossCollector(
                model, ranks=ranks, device=device, max_bytes=settings.snapshot_bytes, context=context,
                scales=lambda: (losses.level, losses.history.first),
            )
            if o.ModeLossSeen in wanted and losses is not None
            else None
        )  # fmt: skip
        self._audit = (
            Audit(
                model,
                wanted,
                ranks=ranks,
                device=device,
                optimized=lambda: set(learning_rates(self._optimizers())),
                maximizes=lambda: are_maximizing(self._optimizers()),
                on_error=self._failed,
            )
            if wanted & {*READERS, o.ModelSeen}  # which wants to know how many targets there are
            else None
        )
        self._steps = (
            StepWatch(model, self._parameters, wanted, ranks=ranks, optimizers=self._optimizers)
            if wanted & STEP_KINDS and len(self._parameters)
            else None
        )
        self._inventory = inventory
        if inventory is not None:
            audit = self._audit
            inventory.join(device, lambda: audit.targets_per_sample if audit is not None else None)
        self._forward = ForwardWatch(model, activations=self._activations, listeners=self._extra_listeners(), on_error=self._failed)
        named: list[tuple[str, Collector | None]] = [
            ("non-finite", self._nonfinite), ("losses", self.losses), ("activations", self._activations),
            ("gradients", self._gradients), ("updates", self._updates), ("modes", self.modes),
            ("audit", self._audit), ("inventory", inventory), ("loss by mode", self._mode_losses),
            *(self._steps.collectors.items() if self._steps is not None else ()),
        ]  # fmt: skip
        collectors = {name: each for name, each in named if each is not None}
        self._exchange = Exchange(collectors, ranks=ranks, device=device, on_error=self._failed)
        self._off: set[str] = set()
        self._at = At(step=0, epoch=0, batch_index=0)
        self._is_sampling = self._stands_by = self._has_begun = False
        self._step_hooks: list[RemovableHandle] = []
        self._measured: set[int] = set()

    def _extra_listeners(self) -> Extra:
        table: Extra = {}
        if self.modes is not None:
            for functions, listener in (
                (fn.DROPOUTS, self.modes.on_dropout),
                (fn.ATTENTIONS, self.modes.on_attention),
                (fn.RECURRENT, self.modes.on_recurrent),
                (fn.BATCH_NORMS, self.modes.on_batch_norm),
            ):
                table |= {function: (name, listener) for function, name in functions.items()}
        if self.losses is not None:
            table |= {function: (name, self.losses.chance.on_loss) for function, name in fn.LOSSES.items()}
        return table

    def _recorder(self) -> Recorder | None:
        return self._audit.recorder if self._audit is not None and "audit" not in self._off else None

    def _failed(self, error: Exception, part: str = "forward watch") -> None:
        if part not in self._off:
            self._off.add(part)
            self._note(f"{part} turned off after an error: {type(error).__name__}: {error}")

    def _attempt(self, part: str, call: Callable[Arguments, object], *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        """Run a part of the guard; an exception turns the part off, and nothing else."""
        if part in self._off:
            return
        try:
            call(*args, **kwargs)
        except Exception as error:
            self._failed(error, part)

    def know(self, population: int | None, steps_per_epoch: int | None) -> None:
        """Take what is known only when the data has been set up.

        Args:
            population: Samples of the training set; None when unknown.
            steps_per_epoch: Optimizer steps of one epoch; None when unknown.
        """
        if self._activations is not None:
            self._activations.windows.population = population
        if self.losses is not None:
            self.losses.know(steps_per_epoch)
        if self._inventory is not None:
            self._attempt("inventory", self._inventory.start, population)
        self._began = perf_counter()
        self.seconds = 0.0

    @property
    def is_current(self) -> bool:
        """Whether the watched parameters are those of the model; looked at only before the first batch."""
        if self._has_begun:
            return True
        before, now = self._parameters.infos, list(parameters_of(self._model))
        if any(hasattr(info.tensor, "placements") for info in before):
            # Sharding puts whole parameters in their place for as long as it needs them, and takes their storage away again.
            return [info.name for info in before] == [info.name for info in now]
        return [id(info.tensor) for info in before] == [id(info.tensor) for info in now]

    # -- training ------------------------------------------------------------------------------------------------------------

    def start_batch(self, batch: object, at: At, *, steps: bool, manual: bool) -> None:
        """Begin a training batch.

        Args:
            batch: The batch.
            at: Its moment.
            steps: Whether the optimizer steps after this batch (the last micro-batch of an accumulation).
            manual: Whether the user steps the optimizers by hand.
        """
        if self._is_sampling:  # the batch before was skipped after it had begun
            self._abandon()
        if at.epoch != self._at.epoch or not self._has_begun:
            self._attempt("forward watch", self._forward.look)  # modules may have been added, frozen or compiled
        self._has_begun = True
        self._at = at
        self._is_sampling = steps and is_sampled(at.step, self.cadence.every_n_steps)
        if self._stands_by:
            return
        if self._nonfinite is not None:
            self._attempt("non-finite", self._nonfinite.start_batch, batch, at, sampled=self._is_sampling)
        if not self._is_sampling:
            return
        self._measured.clear()
        for collector in (self._activations, self._gradients):
            if collector is not None:
                collector.draws_histograms = self.num_sampled < _ALL_HISTOGRAMS or self.num_sampled % _HISTOGRAMS_EVERY == 0
        if self.modes is not None:
            self.modes.stage = "train"
        if self.losses is not None:
            self.losses.is_objective = not manual
            self.losses.chance.offer(batch)
        if self._inventory is not None:
            self._attempt("inventory", self._inventory.start_batch, at)
        if self._steps is not None:
            self._attempt("steps", self._steps.start_batch)
        if self._mode_losses is not None and not manual and self._forward.can_listen:
            self._attempt("loss by mode", partial(self._mode_losses.start_batch, batch, at))
        if "forward watch" not in self._off:
            if self._audit is not None and self._forward.can_listen:
                self._attempt("audit", partial(self._audit.start_training, batch, at, manual=manual))
            self._attempt("forward watch", partial(self._forward.attach, self._recorder()))
            if not self._forward.can_listen:
                self._note(f"{_COMPILED}{'' if self._audit is None else 'in training, '}{_UNSEEN}")
        if manual and any(each is not None for each in (self._gradients, self._updates, self._steps, self._inventory)):
            # Raw optimizers bypass Lightning's hook.
            for optimizer in self._optimizers():
                hook = partial(_before_raw_step, self)
                self._step_hooks.append(optimizer.register_step_pre_hook(hook))

    @property
    def is_sampling(self) -> bool:
        """Whether this batch is sampled."""
        return self._is_sampling

    def before_backward(self, loss: Tensor) -> None:
        """Take the loss before its backward pass; the forward has ended."""
        if self._stands_by:
            return
        if self._is_sampling:
            self._forward.pause()
            if self._audit is not None and isinstance(loss, Tensor):
                self._attempt("audit", partial(self._audit.note_loss, loss))
        if self._nonfinite is not None and isinstance(loss, Tensor):
            self._attempt("non-finite", self._nonfinite.check_loss, loss)
        if self._inventory is not None and isinstance(loss, Tensor):
            self._attempt("inventory", self._inventory.check_loss, loss, self._at)
        if self._steps is not None:
            self._attempt("steps", self._steps.before_backward, self._at)

    def after_backward(self, *, manual: bool) -> None:
        """Take the end of a backward pass; with manual optimisation another forward may follow."""
        if self._stands_by:
            return
        if self._steps is not None:
            self._attempt("steps", self._steps.after_backward, sampled=self._is_sampling)
        if not self._is_sampling:
            return
        if self._audit is not None:
            self._attempt("audit", self._audit.end_backward)
        if manual:
            self._forward.resume()

    def before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Take the moment before an optimizer moves weights: gradients are accumulated, reduced, not yet clipped."""
        if self._stands_by:
            return
        if self._nonfinite is not None and not self._has_scaler:
            self._attempt("non-finite", self._nonfinite.check_gradients)
        if self._inventory is not None and self._is_sampling:
            self._attempt("inventory", self._inventory.note_step, optimizer)
        if self._steps is not None:
            self._attempt("steps", self._steps.before_step, optimizer, self._at, sampled=self._is_sampling)
        if self._is_sampling and id(optimizer) not in self._measured:
            self._measured.add(id(optimizer))
            self._measure(optimizer)

    def before_raw_step(self, optimizer: Optimizer, *, has_closure: bool) -> None:
        """Take the same moment from the optimizer itself; when the step has a closure, backward is yet to come."""
        if self._steps is not None and not has_closure and not self._stands_by:
            self._attempt("steps", self._steps.before_step, optimizer, self._at, sampled=self._is_sampling)
        if self._inventory is not None and not has_closure and self._is_sampling and not self._stands_by:
            self._attempt("inventory", self._inventory.note_step, optimizer)
        if self._is_sampling and id(optimizer) not in self._measured and not self._stands_by:
            self._measure(optimizer)

    def _measure(self, optimizer: Optimizer) -> None:
        rates = learning_rates(self._optimizers())
        largest = max(rates.values(), default=0.0)
        if self.losses is not None:
            self.losses.note_rate(largest, self._at.step)
        if self._gradients is not None:
            own = {id(each) for group in optimizer.param_groups for each in group["params"]}
            others = set(rates) - own
            scale = self._scaler_scale(optimizer)
            self._attempt("gradients", self._gradients.measure, others, scale, largest, self._at.step)
        if self._updates is not None:
            self._attempt("updates", self._updates.snapshot, rates, self._at.step)

    def end_batch(self, loss: Tensor | None) -> list[o.Seen]:
        """End a training batch and return what was observed; on an accelerator that is read at the start of the next batch.

        Args:
            loss: shape (), the batch's loss; None when the step returned none.
        """
        if loss is not None and self.losses is not None and not self._stands_by:
            self.losses.push(loss.detach() if loss.dim() == 0 else loss.detach().reshape(()), self._at)
        if not self._is_sampling:
            return []
        self._is_sampling = False
        self._detach()
        self.num_sampled += 1
        if self._updates is not None and not self._stands_by:
            self._attempt("updates", self._updates.measure)
        if self._steps is not None and not self._stands_by:
            self._attempt("steps", self._steps.end_batch, self._at)
        device = self._parameters.device
        seconds = [self.total_seconds, perf_counter() - self._began]
        self._exchange.send(torch.tensor(seconds, dtype=torch.float32, device=device), self._at)
        return self.read() if device.type == "cpu" else []

    def _abandon(self) -> None:
        """Forget a sampled batch that does not come to its end."""
        self._detach()
        self._is_sampling = False
        if self._steps is not None:
            self._steps.abandon()
        if self._audit is not None:
            self._audit.abandon()
        if self._updates is not None:
            self._updates.abandon()
        if self._inventory is not None:
            self._inventory.abandon()

    def end_epoch(self) -> None:
        """End a training epoch; its last batch may have been skipped after it had begun."""
        if self._is_sampling:
            self._abandon()

    def stand_by(self) -> None:
        """Watch nothing from now on, but take part in the exchanges between ranks, which would hang otherwise."""
        self._stands_by = True
        self._exchange.turn_off()
        self._detach()
        if self._steps is not None:
            self._steps.abandon()
        if self._audit is not None:
            self._audit.abandon()

    def _detach(self) -> None:
        self._forward.detach()
        for handle in self._step_hooks:
            handle.remove()
        self._step_hooks.clear()

    def read(self) -> list[o.Seen]:
        """Return the observations of the last sampled step, once; empty when they have been read."""
        result = self._exchange.read(2)
        if result is None:
            return []
        (guard_seconds, run_seconds), at, by_collector = result
        if self.cadence.stretch(at.step, float(guard_seconds), float(run_seconds)):
            if self.losses is not None:
                self.losses.resize(self.cadence.max_gap)
            self._note(f"from step {at.step} on, one of {self.every_n_steps} steps is sampled, to keep the budget")
        finite = bool(by_collector.get("losses")) and not any(isinstance(each, o.NonFiniteSeen) for each in by_collector["losses"])
        told = self._nonfinite.told_step if self._nonfinite is not None else None
        own = by_collector.get("non-finite", [])
        rest = [seen for name, part in by_collector.items() if name != "non-finite" for seen in part]
        return [*(_completed(seen, finite, None) for seen in own), *(_completed(seen, finite, told) for seen in rest)]

    @property
    def every_n_steps(self) -> int:
        """Length of the sampling window, in steps."""
        return self.cadence.every_n_steps

    @property
    def has_found(self) -> bool:
        """Whether there is something for `found`."""
        return self._nonfinite is not None and self._nonfinite.has_found

    def found(self) -> Sequence[o.Seen]:
        """Return non-finite values found since the last call, without waiting for the next sampled step (single process).

        What the audit has seen of the batch until then may be their cause, and comes with them.
        """
        found = self._nonfinite.take() if self._nonfinite is not None else ()
        return [*found, *self.rest()] if found else ()

    def last_found(self) -> list[o.Seen]:
        """Return non-finite values that no sampled step could tell any more; training has ended on all ranks."""
        seen: list[o.Seen] = []
        if self._nonfinite is not None:
            watch = self._nonfinite
            self._attempt("non-finite", lambda: seen.extend(watch.finish()))
        return seen

    @property
    def is_pending(self) -> bool:
        """Whether a sampled step waits to be read."""
        return self._exchange.is_pending

    # -- evaluation ----------------------------------------------------------------------------------------------------------

    def start_audit(self, stage: o.Stage, batch: object, at: At, loader: int, *, is_rehearsal: bool) -> None:
        """Begin an audited batch of an evaluation stage, the first of a loader.

        Args:
            stage: The stage.
            batch: The batch.
            at: Its moment.
            loader: Index of its loader.
            is_rehearsal: Whether no training follows on the random state that the batch leaves behind.
        """
        if self._inventory is not None and not self._stands_by:
            self._attempt("inventory", self._inventory.start_evaluation_batch, is_first=loader == 0)
        if (self.modes is None and self._audit is None) or self._stands_by:
            return
        self._forward.look()
        uncompiled = not self._forward.can_listen
        if uncompiled and not self._may_run_uncompiled(stage, at, loader, is_rehearsal=is_rehearsal):
            return
        if self.modes is not None:
            self.modes.stage = stage
        if self._audit is not None:
            self._attempt("audit", partial(self._audit.start_evaluation, stage, batch, at, loader))
        self._attempt("forward watch", partial(self._forward.attach_functions, self._recorder(), uncompiled=uncompiled))

    def _may_run_uncompiled(self, stage: o.Stage, at: At, loader: int, *, is_rehearsal: bool) -> bool:
        """Return whether a batch of evaluation is audited without the compiler, which draws other random numbers than it."""
        if self._audit is None:
            self._note(f"{_COMPILED}{_UNSEEN}")
            return False
        if {"audit", "forward watch"} & self._off or not self._audit.is_due(stage, at, loader):
            return False
        may = can_run_uncompiled(self._model) and (is_rehearsal or self._audit.draws_nothing(stage))
        self._note(_UNCOMPILED if may else _NOT_UNCOMPILED)
        return may

    def end_audit(self) -> None:
        """End an audited batch."""
        self._forward.detach()
        if self._audit is not None:
            self._attempt("audit", self._audit.end)
        if self._inventory is not None and not self._stands_by:
            self._attempt("inventory", self._inventory.end_evaluation_batch)

    def end_evaluation(self, stage: o.Stage, at: At) -> Sequence[o.Seen]:
        """End an evaluation and return what its audited batches showed; all ranks at once."""
        seen: list[o.Seen] = []
        try:
            if self.modes is not None:
                self.modes.stage = stage
                seen += self.modes.merge(at)
                self.modes.stage = "train"
        finally:  # the other ranks wait for this one's words, whatever went wrong with the modes
            if self._audit is not None:
                seen += self._audit.merge()
            if self._inventory is not None:
                self._attempt("inventory", self._inventory.end_evaluation, stage, at)
                seen += self._inventory.merge()
        return seen

    # -- end -----------------------------------------------------------------------------------------------------------------

    def rest(self) -> Sequence[o.Seen]:
        """Return what this rank alone knows of a step that did not come to its end; the run is over."""
        watches = (self._audit, self._inventory)
        return [seen for watch in watches if watch is not None for seen in watch.rest()]

    def close(self) -> None:
        """Remove every hook and mode, on success and on exceptions; safe to call again."""
        self._abandon()

    @property
    def share(self) -> float:
        """The guard's share of the wall-clock time since the fit began."""
        return self.total_seconds / max(perf_counter() - self._began, 1e-9)

    @property
    def total_seconds(self) -> float:
        """Wall-clock seconds that the guard took, inside its hooks and inside the model's forward."""
        return self.seconds + self._forward.seconds


def _completed(seen: o.Seen, loss_finite: bool, told_step: int | None) -> o.Seen:
    """Return a non-finite value with what the other collectors know: the loss has been finite, or it is not the first to go bad."""
    if not isinstance(seen, o.NonFiniteSeen) or seen.quantity not in {"input", "activation", "gradient"}:
        return seen
    if loss_finite and seen.loss_finite is None and seen.quantity != "gradient":
        return replace(seen, loss_finite=True)
    late = told_step is not None and seen.step + (seen.quantity == "gradient") > told_step
    return replace(seen, is_first=False) if late else seen


def _before_raw_step(probe: Probe, optimizer: Optimizer, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    has_closure = any(callable(each) for each in [*args[1:], kwargs.get("closure")])  # the first argument is the optimizer
    probe.before_raw_step(optimizer, has_closure=has_closure)
