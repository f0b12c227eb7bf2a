"""The probe: watches batches, steps and evaluations of a live model and turns them into observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lightning_nnguard import observation as o
from lightning_nnguard.probe.agreement.facts import RankFacts
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.cadence import Cadence
from lightning_nnguard.probe.compiled import COMPILED, EAGER, UNSEEN
from lightning_nnguard.probe.evaluations import EvaluationWatch
from lightning_nnguard.probe.exchange import Exchange
from lightning_nnguard.probe.forward import ForwardWatch
from lightning_nnguard.probe.inventory.inventory import Inventory
from lightning_nnguard.probe.names import parameters_of
from lightning_nnguard.probe.nonfinite import Save
from lightning_nnguard.probe.optimization.plan import OptimizationPlan
from lightning_nnguard.probe.parameters import Parameters, learning_rates
from lightning_nnguard.probe.parts import build_parts
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.samples.loading import Loading
from lightning_nnguard.probe.schedule import is_sampled
from lightning_nnguard.probe.settings import ProbeSettings

#: Sampled steps that all draw histograms, and then every so manieth: TensorBoard keeps 100 to 500 of them anyway.
_ALL_HISTOGRAMS = 20
_HISTOGRAMS_EVERY = 4


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
        plan: What the Trainer knows of the optimizers' work; None for nothing.
        facts: What the strategy says about the ranks; None for nothing.
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
        plan: OptimizationPlan | None = None,
        facts: RankFacts | None = None,
    ) -> None:
        self._model, self._settings, self._ranks = model, settings, ranks
        self._optimizers, self._scaler_scale, self._has_scaler, self._note = optimizers, scaler_scale, has_scaler, note
        self.cadence = Cadence(settings.every_n_steps, settings.budget)
        self.num_sampled = 0
        self.seconds = 0.0
        self._began = perf_counter()
        self._parameters = Parameters(model, ranks)
        self._attempts = Attempts(note, strict=settings.strict)
        parts = build_parts(
            model, settings, self._parameters, ranks=ranks, num_slots=self.cadence.max_gap, optimizers=optimizers, save=save,
            context=context, has_scaler=has_scaler, attempts=self._attempts, inventory=inventory,
            plan=plan or OptimizationPlan(), facts=facts or RankFacts(),
        )  # fmt: skip
        self._nonfinite, self._activations, self._gradients = parts.nonfinite, parts.activations, parts.gradients
        self._updates, self._audit, self._inventory, self._inputs = parts.updates, parts.audit, parts.inventory, parts.inputs
        self._mode_losses, self._steps, self._batches = parts.mode_losses, parts.steps, parts.batches
        self.losses, self.modes, self._optimization = parts.losses, parts.modes, parts.optimization
        self._samples, self._labels, self._agreement, self._resets = parts.samples, parts.labels, parts.agreement, parts.resets
        failed = self._attempts.fail
        self._forward = ForwardWatch(
            model, activations=parts.activations, listeners=parts.listeners(), on_error=failed, eager=settings.eager
        )
        self._evaluations = EvaluationWatch(model, parts, self._forward, attempts=self._attempts, note=note, ranks=ranks)
        self._exchange = Exchange(parts.collectors, ranks=ranks, device=self._parameters.device, on_error=failed)
        self._at = At(step=0, epoch=0, batch_index=0)
        self._is_sampling = self._stands_by = self._has_begun = False
        self._step_hooks: list[RemovableHandle] = []
        self._measured: set[int] = set()

    def know(self, population: int | None, steps_per_epoch: int | None, *, loading: Loading | None = None) -> None:
        """Take what is known only when the data has been set up.

        Args:
            population: Samples of the training set; None when unknown.
            steps_per_epoch: Optimizer steps of one epoch; None when unknown.
            loading: What is known of the loaders; None when nobody asked for it.
        """
        if self._activations is not None:
            self._activations.windows.population = population
        if self.losses is not None:
            self.losses.know(steps_per_epoch)
        if self._inputs is not None:
            self._inputs.know(population, steps_per_epoch)
        if self._inventory is not None:
            self._attempts.run("inventory", self._inventory.start, population)
        if self._samples is not None and loading is not None:
            self._attempts.run("samples", self._samples.know, loading)
        if self._labels is not None and loading is not None:
            self._attempts.run("labels", self._labels.know, loading)
        self._began = perf_counter()
        self.seconds = 0.0

    def know_loads(self, paths: Sequence[str]) -> None:
        """Take the paths of modules into which weights were loaded before the first batch."""
        if self._steps is not None:
            self._steps.know_loads(paths)

    @property
    def is_current(self) -> bool:
        """Whether the watched parameters are those of the model; looked at only before the first batch."""
        if self._has_begun:
            return True
        before, now = self._parameters.infos, list(parameters_of(self._model))
        if any(info.is_sharded for info in before):
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
            self._attempts.run("forward watch", self._forward.look)  # modules may have been added, frozen or compiled
            if self._resets is not None and not self._stands_by:
                self._attempts.run("resets", self._resets.start_epoch)
        self._has_begun = True
        self._at = at
        self._is_sampling = steps and is_sampled(at.step, self.cadence.every_n_steps)
        if self._stands_by:
            return
        if self._nonfinite is not None:
            self._attempts.run("non-finite", self._nonfinite.start_batch, batch, at, sampled=self._is_sampling)
        for name, watch in self._batches.items():
            self._attempts.run(name, watch.start_batch, batch, at, sampled=self._is_sampling)
        if not self._is_sampling:
            return
        self._measured.clear()
        if not self._attempts.is_off("forward watch") and self._forward.start():
            self._note(EAGER)
        for collector in (self._activations, self._gradients):
            if collector is not None:
                collector.draws_histograms = self.num_sampled < _ALL_HISTOGRAMS or self.num_sampled % _HISTOGRAMS_EVERY == 0
        if self.modes is not None:
            self.modes.stage = "train"
        if self.losses is not None:
            self.losses.is_objective = not manual
            self.losses.chance.offer(batch)
        if self._inventory is not None:
            self._attempts.run("inventory", self._inventory.start_batch, at)
        if self._steps is not None:
            self._steps.start_batch()
        if self._mode_losses is not None and not manual and self._forward.can_listen:
            self._attempts.run("loss by mode", partial(self._mode_losses.start_batch, batch, at))
        if not self._attempts.is_off("forward watch"):
            if self._audit is not None and self._forward.can_listen:
                self._attempts.run("audit", partial(self._audit.start_training, batch, at, manual=manual))
            recorder = self._audit.recorder if self._audit is not None and not self._attempts.is_off("audit") else None
            self._attempts.run("forward watch", partial(self._forward.attach, recorder))
            if not self._forward.can_listen:
                self._note(f"{COMPILED}{'' if self._audit is None else 'in training, '}{UNSEEN}")
        if self._agreement is not None:
            self._agreement.start_batch(batch)
        if manual and any(
            each is not None for each in (self._gradients, self._updates, self._steps, self._inventory, self._optimization)
        ):
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
            if self._agreement is not None:
                self._agreement.before_backward()
            if self._audit is not None and isinstance(loss, Tensor):
                self._attempts.run("audit", partial(self._audit.note_loss, loss))
        if self._nonfinite is not None and isinstance(loss, Tensor):
            self._attempts.run("non-finite", self._nonfinite.check_loss, loss)
        if self._inventory is not None and isinstance(loss, Tensor):
            self._attempts.run("inventory", self._inventory.check_loss, loss, self._at)
        if self._steps is not None:
            self._steps.before_backward(self._at)

    def after_backward(self, *, manual: bool) -> None:
        """Take the end of a backward pass; with manual optimisation another forward may follow."""
        if self._stands_by:
            return
        if self._steps is not None:
            self._steps.after_backward(sampled=self._is_sampling)
        if not self._is_sampling:
            return
        if self._audit is not None:
            self._attempts.run("audit", self._audit.end_backward)
        if manual:
            self._forward.resume()

    def before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Take the moment before an optimizer moves weights: gradients are accumulated, reduced, not yet clipped."""
        if self._stands_by:
            return
        if self._nonfinite is not None and not self._has_scaler:
            self._attempts.run("non-finite", self._nonfinite.check_gradients)
        if self._inventory is not None and self._is_sampling:
            self._attempts.run("inventory", self._inventory.note_step, optimizer)
        if self._steps is not None:
            self._steps.before_step(optimizer, self._at, sampled=self._is_sampling)
        if self._is_sampling and id(optimizer) not in self._measured:
            self._measured.add(id(optimizer))
            self._measure(optimizer)

    def before_raw_step(self, optimizer: Optimizer, *, has_closure: bool) -> None:
        """Take the same moment from the optimizer itself; when the step has a closure, backward is yet to come."""
        if self._steps is not None and not has_closure and not self._stands_by:
            self._steps.before_step(optimizer, self._at, sampled=self._is_sampling)
        if self._inventory is not None and not has_closure and self._is_sampling and not self._stands_by:
            self._attempts.run("inventory", self._inventory.note_step, optimizer)
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
            self._attempts.run("gradients", self._gradients.measure, others, scale, largest, self._at.step)
        if self._updates is not None:
            self._attempts.run("updates", self._updates.snapshot, rates, self._at.step)
        if self._optimization is not None:
            self._optimization.before_step(optimizer, self._at.step)

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
            self._attempts.run("updates", self._updates.measure)
        if self._steps is not None and not self._stands_by:
            self._steps.end_batch(self._at)
        if self._optimization is not None and not self._stands_by:
            self._optimization.end_batch()
        if self._agreement is not None and not self._stands_by:
            self._agreement.end_batch()
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
        if self._optimization is not None:
            self._optimization.abandon()
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
        if self._resets is not None and not self._stands_by:
            self._attempts.run("resets", self._resets.end_epoch)

    def stand_by(self) -> None:
        """Watch nothing from now on, but take part in the exchanges between ranks, which would hang otherwise."""
        self._stands_by = True
        self._exchange.turn_off()
        self._detach()
        if self._steps is not None:
            self._steps.abandon()
        if self._optimization is not None:
            self._optimization.abandon()
        if self._audit is not None:
            self._audit.abandon()

    def _detach(self) -> None:
        self._forward.detach()
        if self._inputs is not None:
            self._inputs.detach()
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
            self._attempts.run("non-finite", lambda: seen.extend(watch.finish()))
        return seen

    @property
    def is_pending(self) -> bool:
        """Whether a sampled step waits to be read."""
        return self._exchange.is_pending

    # -- evaluation ----------------------------------------------------------------------------------------------------------

    def start_evaluation_batch(self, stage: o.Stage, batch: object, at: At, loader: int, *, is_rehearsal: bool) -> None:
        """Begin a batch of an evaluation stage; see `EvaluationWatch.start_batch`."""
        if not self._stands_by:
            self._evaluations.start_batch(stage, batch, at, loader, is_rehearsal=is_rehearsal)

    def end_evaluation_batch(self, at: At) -> None:
        """End a batch of an evaluation stage."""
        self._evaluations.end_batch(at, stands_by=self._stands_by)

    def end_evaluation(self, stage: o.Stage, at: At) -> Sequence[o.Seen]:
        """End an evaluation and return what it showed; all ranks at once."""
        return self._evaluations.end(stage, at)

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
