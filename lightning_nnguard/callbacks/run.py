"""One guarded run: builds probe, monitor and sinks for a Trainer, and carries what the probe sees to the monitor."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor
from torch.optim import Optimizer

from lightning_nnguard.callbacks.agreement import MetricAgreement, rank_facts
from lightning_nnguard.callbacks.engines import hidden_kinds
from lightning_nnguard.callbacks.fault import TrainingFault
from lightning_nnguard.callbacks.gaps import GapWatch, logged_numbers
from lightning_nnguard.callbacks.loaders import loading_of
from lightning_nnguard.callbacks.loggers import sinks_of
from lightning_nnguard.callbacks.monitors import monitors_of
from lightning_nnguard.callbacks.optimization import OptimizationFacts
from lightning_nnguard.callbacks.options import Options
from lightning_nnguard.callbacks.record import Record
from lightning_nnguard.callbacks.samplers import samplers_of
from lightning_nnguard.callbacks.start import run_start
from lightning_nnguard.callbacks.trainer_view import TrainerView
from lightning_nnguard.containment import contain
from lightning_nnguard.monitor import Monitor
from lightning_nnguard.observation import MonitorSeen, PictureSeen, SamplerSeen, Seen, Stage
from lightning_nnguard.panels.layout import layout
from lightning_nnguard.panels.panel import Panel
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.data.labels import KINDS as LABELS
from lightning_nnguard.probe.inventory.inventory import INVENTORY, Inventory
from lightning_nnguard.probe.inventory.loading import LoadWatch
from lightning_nnguard.probe.nonfinite import BatchKept
from lightning_nnguard.probe.outputs.class_weights import KINDS as CLASS_WEIGHTS
from lightning_nnguard.probe.pictures import batch_seen, filters_seen
from lightning_nnguard.probe.probe import Probe
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.replay import save_batch
from lightning_nnguard.probe.samples.loading import Loading
from lightning_nnguard.probe.samples.watch import KINDS as SAMPLES
from lightning_nnguard.probe.settings import ProbeSettings
from lightning_nnguard.sinks.sink import EpochEnd, RunSummary

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class GuardRun:
    """One fit, or one evaluation outside of a fit, under guard.

    Args:
        trainer: The Trainer.
        module: The user's module.
        options: What to watch and how.
        ceded: Codes of rules that an earlier guard of this Trainer holds.
        panels: Panels to draw.
        leads: Whether this guard draws the health of the run and writes its start and epochs into the logbook; no earlier one does.
        record: Keeps the findings for the user.
        is_fit: Whether this is a fit.
        loads: Watches what is loaded into the module until the first batch; None when nobody asked for it.
    """

    def __init__(
        self,
        trainer: Trainer,
        module: LightningModule,
        options: Options,
        *,
        ceded: Collection[str],
        panels: Sequence[Panel],
        leads: bool,
        record: Record,
        is_fit: bool,
        loads: LoadWatch | None = None,
    ) -> None:
        self._trainer, self._module, self._options, self._record, self._is_fit = trainer, module, options, record, is_fit
        self._ranks = Ranks.current() if trainer.world_size > 1 else Ranks()
        self._view = TrainerView(trainer, module)
        self._notes: list[str] = []
        self._log_dir = Path(trainer.log_dir or trainer.default_root_dir)  # a collective: on every rank
        policy = options.policy
        rules = [rule for rule in policy.rules() if rule.code not in ceded]
        sinks = sinks_of(trainer, self._log_dir, write_lines=options.write_lines) if self._ranks.rank == 0 else []
        self.monitor = Monitor(
            rules, panels, sinks, policy.severity_of, draw_health=options.draw_health and is_fit and leads, strict=options.strict
        )
        self._num_rules = len(rules)
        self._keeps_logbook = options.write_lines and leads
        hidden, note = hidden_kinds(trainer)
        wanted = self._wanted = self.monitor.wanted - hidden
        if note:
            self.note(note)
        self._wants_pictures = PictureSeen in wanted
        self._loads = loads
        self._inventory = Inventory(module, lambda: trainer.optimizers, wanted, ranks=self._ranks) if wanted & INVENTORY else None
        self._has_told_set_up = False
        self._optimization = OptimizationFacts(trainer, module, wanted, self.note, strict=options.strict)
        self.probe = self._new_probe()
        self._gaps = GapWatch(options, wanted, ranks=self._ranks, note=self.note)
        self._metrics = MetricAgreement(trainer, wanted, ranks=self._ranks, note=self.note, strict=options.strict)
        self._laid_out: list[str] | None = None
        self._record.begin(keep=not is_fit)
        self._begin_step = 0
        self._sizes: tuple[int | None, ...] = (None, None)
        self._loading: Loading | None = None
        self._stands_by = False
        self._ended: At | None = None
        self._logged = -1

    def _new_probe(self) -> Probe:
        trainer, options = self._trainer, self._options
        return Probe(
            self._module,
            ProbeSettings(
                wanted=self._wanted,
                every_n_steps=options.policy.every_n_steps,
                budget=options.policy.budget,
                sync=options.sync,
                snapshot_bytes=options.snapshot_bytes,
                activation_histograms=options.activation_histograms,
                gradient_histograms=options.gradient_histograms,
                eager=options.compiled == "eager",
                strict=options.strict,
            ),
            ranks=self._ranks,
            optimizers=lambda: trainer.optimizers,
            save=self._save_batch,
            context=self._view.context,
            scaler_scale=self._view.scaler_scale,
            has_scaler=self._view.has_scaler,
            note=self.note,
            inventory=self._inventory,
            plan=self._optimization.plan,
            facts=rank_facts(trainer),
        )

    def _save_batch(self, kept: BatchKept) -> str:
        path = self._log_dir / f"nnguard_nonfinite_step{kept.at.step}_rank{self._ranks.rank}.pt"
        try:
            save_batch(self._module, kept, path)
        except Exception as error:
            self._forgive(f"the offending batch could not be saved to {path}", error)
            return ""
        return str(path)

    def note(self, text: str) -> None:
        """Keep a line about what the guard could not do, once, for the end of the run."""
        if text not in self._notes:
            self._notes.append(text)

    def _forgive(self, text: str, error: Exception) -> None:
        """Note an error that the user's data, loaders or disk may have caused; strict or not, the rest goes on."""
        self.note(f"{text}: {type(error).__name__}: {error}")
        contain(error, text, strict=False)

    # -- training ----------------------------------------------------------------------------------------------------------------

    def start_training(self) -> None:
        """Learn what is known only when the data has been set up: sizes of the training set and of an epoch."""
        everyone = {sizes for (sizes,) in self._ranks.gather([self._view.sizes()])}
        self._sizes = everyone.pop() if len(everyone) == 1 else (None, None)  # what ranks judge by is the same on all
        self._loading = self._learn_loading()
        self.probe.know(*self._sizes, loading=self._loading)
        self._begin_step = self._view.at().step
        set_up = self._optimization.start(self._view.at())
        if self._inventory is not None:
            draws = samplers_of(self._trainer, self._view.at()) if SamplerSeen in self.monitor.wanted else ()
            self._inventory.tell([*set_up, *draws])
        if self._keeps_logbook and self._ranks.rank == 0:
            try:
                self.monitor.begin(run_start(self._trainer, self._module, self._options.policy))
            except Exception as error:  # whatever the user's hyper-parameters or the environment hold
                self._forgive("the logbook does not say what this run is", error)

    def _learn_loading(self) -> Loading | None:
        """Return what is known of the loaders, when somebody asks for it; all ranks judge by what rank zero knows."""
        if not self.monitor.wanted & (SAMPLES | LABELS | CLASS_WEIGHTS):
            return None
        own: list[Loading] = []
        try:
            own = [loading_of(self._trainer)]
        except Exception as error:  # the other ranks wait for this one's words, whatever the user's loaders raise
            self._forgive("samples are not recognised", error)
        return next((loading for loading in self._ranks.gather(own)[0]), None)

    def tell_set_up(self) -> None:
        """Take what is set up when the first batch is near: what was loaded, and what is monitored. Later calls do nothing."""
        if self._has_told_set_up:
            return
        self._has_told_set_up = True
        at = self._view.at()
        loads = self._loads.take(at) if self._loads is not None else ()
        if self._inventory is not None:
            watches = self._is_fit and MonitorSeen in self.monitor.wanted
            self._inventory.tell([*loads, *(monitors_of(self._trainer, at) if watches else ())])

    def start_batch(self, batch: object, batch_index: int) -> None:
        """Begin a training batch."""
        self.tell_set_up()
        seen = self.probe.read() if self.probe.is_pending else ()
        at = self._view.at(batch_index)
        if not self.probe.is_current:  # the user's own hooks have replaced layers since the fit began
            self.probe.close()
            self.probe = self._new_probe()
            self.probe.know(*self._sizes, loading=self._loading)
        manual = not self._module.automatic_optimization
        self.probe.training.start_batch(batch, at, steps=self._view.steps_after(batch_index), manual=manual)
        self._gaps.offer(batch)
        if seen:
            self._see(seen)
        if self._wants_pictures:
            self._wants_pictures = False
            self._see([*batch_seen(batch, at), *filters_seen(self._module, at)])

    def before_backward(self, loss: Tensor) -> None:
        """Take the loss before its backward pass."""
        self.probe.training.before_backward(loss)
        if self.probe.has_found:
            self._see(self.probe.found())

    def after_backward(self) -> None:
        """Take the end of a backward pass: in automatic optimisation on sampled steps only."""
        self.probe.training.after_backward(manual=not self._module.automatic_optimization)

    def before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Take the moment before an optimizer moves weights."""
        self.probe.training.before_optimizer_step(optimizer)
        if self.probe.has_found:
            self._see(self.probe.found())

    def end_batch(self, outputs: object) -> None:
        """End a training batch."""
        seen = self.probe.end_batch(self._view.loss_of(outputs))
        if seen:
            self._see(seen)

    def end_epoch(self) -> None:
        """End a training epoch. What the module itself logs in this hook, after the callbacks, is there in the next one."""
        self.probe.training.end_epoch()
        epoch = self._trainer.current_epoch
        self._ended = self._view.at()
        if self._options.draw_health and PictureSeen in self.monitor.wanted and (epoch + 1) & epoch == 0:
            self._see(filters_seen(self._module, self._view.at()))  # after epochs 1, 2, 4, 8, ...: few pictures are kept

    def start_epoch(self) -> None:
        """Begin a training epoch: all metrics of the one before are there now."""
        if self._ended is not None:
            seen: Sequence[Seen] = ()
            try:
                self._log_epoch(self._ended)
            finally:  # the other ranks wait for this one's metrics, whatever went wrong with the logbook
                seen = self._compared(self._ended, at_epoch_end=True)
            self._see(seen)

    def _log_epoch(self, end: At) -> None:
        """Write the metrics of an epoch into the logbook, once."""
        if end.epoch == self._logged or not self._keeps_logbook:
            return
        self._logged = end.epoch
        self.monitor.end_epoch(EpochEnd(epoch=end.epoch, step=end.step, metrics=logged_numbers(self._trainer)))

    def _compared(self, at: At, *, at_epoch_end: bool, final: bool = False) -> Sequence[Seen]:
        seen = self._gaps.compare(self._trainer, self._module, self.probe, at, at_epoch_end=at_epoch_end, final=final)
        if seen and self._gaps.names != self._laid_out and self._options.draw_health:
            self._laid_out = list(self._gaps.names)
            self.monitor.draw([layout(self._laid_out)])
        return seen

    # -- evaluation --------------------------------------------------------------------------------------------------------------

    def start_evaluation_batch(self, stage: Stage, batch: object, batch_index: int, loader: int) -> None:
        """Begin a batch of an evaluation stage; the first of each loader is audited."""
        is_rehearsal = self._trainer.sanity_checking or not self._is_fit
        self.probe.start_evaluation_batch(stage, batch, self._view.at(batch_index), loader, is_rehearsal=is_rehearsal)

    def end_evaluation_batch(self, batch_index: int) -> None:
        """End a batch of an evaluation stage."""
        self.probe.end_evaluation_batch(self._view.at(batch_index))

    def end_evaluation(self, stage: Stage) -> None:
        """End an evaluation."""
        at, seen = self._view.at(), list[Seen]()
        try:
            seen += self.probe.end_evaluation(stage, at)
        finally:  # the other ranks wait for this one's metrics, whatever went wrong with the rest
            if stage == "validate" and self._is_fit and not self._trainer.sanity_checking:
                seen += self._metrics.compare(at)
                self._gaps.note_validation(self._trainer, self._module, self._view.context)
                seen += () if self._trainer.is_last_batch else self._compared(at, at_epoch_end=False)
        self._see(seen)

    # -- end ---------------------------------------------------------------------------------------------------------------------

    def _see(self, observations: Sequence[Seen]) -> None:
        if not observations or self._stands_by:
            return
        news = self.monitor.see(observations)
        self._record.update(self.monitor.findings)
        limit = self._options.policy.fail_on
        if limit is not None:
            for finding in news:
                if finding.severity >= limit and finding.recovered is None:
                    raise TrainingFault(finding)

    def end_training(self) -> None:
        """Read what is pending and judge what can be judged only at the end."""
        seen, at = list[Seen](), self._view.at()
        try:
            seen += [*self.probe.read(), *self.probe.last_found()]
            if self._ended is not None:
                self._log_epoch(self._ended)
        finally:  # the other ranks wait for this one's metrics, whatever went wrong with the rest
            end = self._ended if self._ended and self._ended.step == at.step else at
            seen += self._compared(end, at_epoch_end=True, final=True)
        self._see(seen)
        self._see(self._optimization.end(at))

    def stand_by(self, note: str) -> bool:
        """Stop after an error of the guard's own on this rank, yet take part in what the others would wait for.

        Returns:
            Whether there are others.
        """
        if self._ranks.world_size == 1:
            return False
        if not self._stands_by:
            self._stands_by = True
            self.note(note)
            self._gaps.stand_by()
            self._metrics.stand_by()
            with suppress(Exception):
                self.probe.stand_by()
        return True

    def abandon(self, note: str) -> None:
        """Stop after an error of the guard's own, and say so; what was found so far stands."""
        self.note(note)
        try:
            self.finish()
        except Exception as error:
            self.note(f"and the end of it failed: {error}")

    def finish(self) -> None:
        """Remove every hook and say what was found; safe after an exception."""
        try:
            untold = self.probe.rest()
        finally:
            self.probe.close()
        if untold:
            self.monitor.see(untold)
        if not self._is_fit and not self.monitor.findings:
            return
        self.monitor.finish(
            RunSummary(
                findings=self.monitor.findings,
                num_steps=max(self._view.at().step - self._begin_step, 0),
                num_sampled=self.probe.training.num_sampled,
                num_rules=self._num_rules,
                seconds=self.probe.total_seconds,
                share=self.probe.share,
                every_n_steps=self.probe.every_n_steps,
                notes=[*self.monitor.notes, *self._notes],
            )
        )
        self._record.update(self.monitor.findings)
