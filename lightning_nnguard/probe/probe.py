"""The probe: watches batches, steps and evaluations of a live model and turns them into observations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_nnguard import observation as o
from lightning_nnguard.probe.agreement.facts import RankFacts
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.cadence import Cadence
from lightning_nnguard.probe.evaluations import EvaluationWatch
from lightning_nnguard.probe.exchange import Exchange
from lightning_nnguard.probe.forward import ForwardWatch
from lightning_nnguard.probe.inventory.inventory import Inventory
from lightning_nnguard.probe.losses import LossCollector
from lightning_nnguard.probe.modes import ModeCollector
from lightning_nnguard.probe.names import parameters_of
from lightning_nnguard.probe.nonfinite import Save
from lightning_nnguard.probe.optimization.plan import OptimizationPlan
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.parts import build_parts
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.samples.loading import Loading
from lightning_nnguard.probe.settings import ProbeSettings
from lightning_nnguard.probe.training import TrainingWatch


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
        self._model, self._note = model, note
        self.cadence = Cadence(settings.every_n_steps, settings.budget)
        self.seconds = 0.0
        self._began = perf_counter()
        self._stands_by = False
        self._parameters = Parameters(model, ranks)
        self._attempts = Attempts(note, strict=settings.strict)
        self._parts = parts = build_parts(
            model, settings, self._parameters, ranks=ranks, num_slots=self.cadence.max_gap, optimizers=optimizers, save=save,
            context=context, has_scaler=has_scaler, attempts=self._attempts, inventory=inventory,
            plan=plan or OptimizationPlan(), facts=facts or RankFacts(),
        )  # fmt: skip
        failed = self._attempts.fail
        self._forward = ForwardWatch(
            model, activations=parts.activations, listeners=parts.listeners(), on_error=failed, eager=settings.eager
        )
        self.training = TrainingWatch(
            parts, self._forward, cadence=self.cadence, attempts=self._attempts, optimizers=optimizers, scaler_scale=scaler_scale,
            has_scaler=has_scaler, note=note,
        )  # fmt: skip
        self._evaluations = EvaluationWatch(model, parts, self._forward, attempts=self._attempts, note=note, ranks=ranks)
        self._exchange = Exchange(parts.collectors, ranks=ranks, device=self._parameters.device, on_error=failed)

    def know(self, population: int | None, steps_per_epoch: int | None, *, loading: Loading | None = None) -> None:
        """Take what is known only when the data has been set up.

        Args:
            population: Samples of the training set; None when unknown.
            steps_per_epoch: Optimizer steps of one epoch; None when unknown.
            loading: What is known of the loaders; None when nobody asked for it.
        """
        if self._parts.activations is not None:
            self._parts.activations.windows.population = population
        if self._parts.losses is not None:
            self._parts.losses.know(steps_per_epoch)
        if self._parts.inputs is not None:
            self._parts.inputs.know(population, steps_per_epoch)
        if self._parts.inventory is not None:
            self._attempts.run("inventory", self._parts.inventory.start, population)
        if self._parts.samples is not None and loading is not None:
            self._attempts.run("samples", self._parts.samples.know, loading)
        if self._parts.labels is not None and loading is not None:
            self._attempts.run("labels", self._parts.labels.know, loading)
        if self._parts.class_weights is not None and loading is not None:
            self._parts.class_weights.know(loading)
        self._began = perf_counter()
        self.seconds = 0.0

    @property
    def losses(self) -> LossCollector | None:
        """The training loss; None when nobody asked for it."""
        return self._parts.losses

    @property
    def modes(self) -> ModeCollector | None:
        """Training and evaluation modes; None when nobody asked for them."""
        return self._parts.modes

    @property
    def is_current(self) -> bool:
        """Whether the watched parameters are those of the model; looked at only before the first batch."""
        if self.training.has_begun:
            return True
        before, now = self._parameters.infos, list(parameters_of(self._model))
        if any(info.is_sharded for info in before):
            # Sharding puts whole parameters in their place for as long as it needs them, and takes their storage away again.
            return [info.name for info in before] == [info.name for info in now]
        return [id(info.tensor) for info in before] == [id(info.tensor) for info in now]

    # -- training ------------------------------------------------------------------------------------------------------------

    def end_batch(self, loss: Tensor | None) -> list[o.Seen]:
        """End a training batch and return what was observed; on an accelerator that is read at the start of the next batch.

        Args:
            loss: shape (), the batch's loss; None when the step returned none.
        """
        if not self.training.end_batch(loss):
            return []
        device = self._parameters.device
        seconds = [self.total_seconds, perf_counter() - self._began]
        self._exchange.send(torch.tensor(seconds, dtype=torch.float32, device=device), self.training.at)
        return self.read() if device.type == "cpu" else []

    def stand_by(self) -> None:
        """Watch nothing from now on, but take part in the exchanges between ranks, which would hang otherwise."""
        self._stands_by = True
        self._exchange.turn_off()
        self.training.stand_by()

    def read(self) -> list[o.Seen]:
        """Return the observations of the last sampled step, once; empty when they have been read."""
        result = self._exchange.read(2)
        if result is None:
            return []
        (guard_seconds, run_seconds), at, by_collector = result
        if self.cadence.stretch(at.step, float(guard_seconds), float(run_seconds)):
            if self._parts.losses is not None:
                self._parts.losses.resize(self.cadence.max_gap)
            self._note(f"from step {at.step} on, one of {self.every_n_steps} steps is sampled, to keep the budget")
        finite = bool(by_collector.get("losses")) and not any(isinstance(each, o.NonFiniteSeen) for each in by_collector["losses"])
        told = self._parts.nonfinite.told_step if self._parts.nonfinite is not None else None
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
        return self._parts.nonfinite is not None and self._parts.nonfinite.has_found

    def found(self) -> Sequence[o.Seen]:
        """Return non-finite values found since the last call, without waiting for the next sampled step (single process).

        What the audit has seen of the batch until then may be their cause, and comes with them.
        """
        found = self._parts.nonfinite.take() if self._parts.nonfinite is not None else ()
        return [*found, *self.rest()] if found else ()

    def last_found(self) -> list[o.Seen]:
        """Return non-finite values that no sampled step could tell any more; training has ended on all ranks."""
        seen: list[o.Seen] = []
        if self._parts.nonfinite is not None:
            watch = self._parts.nonfinite
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
        watches = (self._parts.audit, self._parts.inventory)
        return [seen for watch in watches if watch is not None for seen in watch.rest()]

    def close(self) -> None:
        """Remove every hook and mode, on success and on exceptions; safe to call again."""
        self.training.abandon()

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
