"""The guard: Lightning's hooks, each handed on to the run under guard, so that no fault of ours ends a training run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from lightning_nnguard.callbacks.base import CallbackBase
from lightning_nnguard.callbacks.fault import TrainingFault
from lightning_nnguard.callbacks.options import Options
from lightning_nnguard.callbacks.record import Record
from lightning_nnguard.callbacks.run import GuardRun
from lightning_nnguard.containment import contain
from lightning_nnguard.finding import Finding
from lightning_nnguard.observation import LoadSeen, Stage
from lightning_nnguard.probe.inventory.loading import LoadWatch
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.rules import subscription
from lightning_nnguard.warning import NNGuardWarning

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import Tensor
    from torch.optim import Optimizer

Arguments = ParamSpec("Arguments")


class Guard(CallbackBase):
    """A callback that watches a run by some rules and panels. `NNGuard` and the drop-ins are guards; use those.

    Args:
        options: What to watch and how.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self._options = options
        self._record = Record()
        self._run: GuardRun | None = None
        self._loads: LoadWatch | None = None
        self._error = ""

    @property
    def findings(self) -> list[Finding]:
        """Findings of the latest run, worst first; the same on all ranks, kept after the run.

        A process that only launches the ranks (`ddp_spawn`, `ddp_fork`) has none: they are in the logbook.
        """
        return list(self._record.findings)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_run": None, "_loads": None}

    # -- running safely ----------------------------------------------------------------------------------------------------------

    def _safely(
        self, call: Callable[Concatenate[GuardRun, Arguments], None], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> None:
        """Run a part of the guard; whatever goes wrong in it ends the guard, not the training."""
        run = self._run
        if run is None:
            return
        start = perf_counter()
        try:
            call(run, *args, **kwargs)
        except (TrainingFault, NNGuardWarning):
            raise
        except Exception as error:
            self._give_up(error)
        run.probe.seconds += perf_counter() - start

    def _give_up(self, error: Exception) -> None:
        run = self._run
        self._error = f"{type(error).__name__}: {error}"
        note = f"the guard is off after an error of its own: {self._error}"
        if not self._options.strict and run is not None and not run.stand_by(note):
            self._run = None
            run.abandon(note)
        contain(error, note, strict=self._options.strict)

    def _begin(self, trainer: Trainer, pl_module: LightningModule, *, is_fit: bool) -> None:
        if trainer.barebones:
            return
        run, problem = None, ""
        try:
            earlier = _earlier_guards(self, trainer)
            codes = {rule.code for guard in earlier for rule in guard._options.policy.rules()}
            drawn = {panel for guard in earlier for panel in guard._options.panels}
            panels = [panel for panel in self._options.panels if panel not in drawn]
            leads = not any(guard._options.write_lines for guard in earlier)
            run = GuardRun(
                trainer, pl_module, self._options, ceded=codes, panels=panels, leads=leads, record=self._record, is_fit=is_fit,
                loads=self._loads,
            )  # fmt: skip
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            contain(error, f"NNGuard could not start: {problem}", strict=self._options.strict)
        ranks = Ranks.current() if trainer.world_size > 1 else Ranks()
        try:  # a guard on some ranks alone would wait for the others
            problems = [each for (each,) in ranks.gather([problem]) if each]
        except Exception as error:
            problems = [f"{type(error).__name__}: {error}"]
            contain(error, f"NNGuard could not start: {problems[0]}", strict=self._options.strict)
        if not problems:
            self._run = run
        elif ranks.rank == 0:
            warnings.warn(f"NNGuard could not start: {problems[0]}", NNGuardWarning, stacklevel=2)

    def _end(self) -> None:
        self._safely(GuardRun.finish)
        self._run = None
        self._stop_listening()
        for name in ("log", "log_dict"):  # the module's own, from Lightning: whoever keeps the guard would keep the model
            self.__dict__.pop(name, None)

    def _stop_listening(self) -> None:
        if self._loads is not None:
            self._loads.close()
            self._loads = None

    # -- Lightning's hooks -------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen for weights that are loaded before the first batch."""
        self._stop_listening()
        if trainer.barebones:
            return
        try:
            if any(subscription(type(rule)) is LoadSeen for rule in self._options.policy.rules()):
                self._loads = LoadWatch(pl_module)
        except Exception as error:
            text = f"NNGuard does not see what is loaded: {type(error).__name__}: {error}"
            contain(error, text, strict=self._options.strict)
            warnings.warn(text, NNGuardWarning, stacklevel=2)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a run under guard."""
        self._begin(trainer, pl_module, is_fit=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learn the sizes of the data."""
        self._safely(GuardRun.start_training)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare training and validation of the epoch before."""
        self._safely(GuardRun.start_epoch)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Begin a batch; on a sampled step hooks are registered."""
        self._safely(GuardRun.start_batch, batch, batch_idx)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Look at the loss."""
        self._safely(GuardRun.before_backward, loss)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what the backward pass has left; go on watching when another forward may follow in this batch."""
        if not pl_module.automatic_optimization or (self._run is not None and self._run.probe.training.is_sampling):
            self._safely(GuardRun.after_backward)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Look at gradients and copy weights on a sampled step."""
        self._safely(GuardRun.before_optimizer_step, optimizer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Judge a sampled step; its hooks are removed."""
        self._safely(GuardRun.end_batch, outputs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mark the end of an epoch."""
        self._safely(GuardRun.end_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge what can be judged only at the end."""
        self._safely(GuardRun.end_training)

    def _evaluation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._run is None and not self._error and trainer.state.fn != "fit":
            self._begin(trainer, pl_module, is_fit=False)
        self._safely(GuardRun.tell_set_up)

    def _evaluation_batch_start(self, stage: Stage, batch: Any, batch_idx: int, loader: int) -> None:
        self._safely(GuardRun.start_evaluation_batch, stage, batch, batch_idx, loader)

    def _evaluation_batch_end(self, batch_idx: int) -> None:
        self._safely(GuardRun.end_evaluation_batch, batch_idx)

    def _evaluation_end(self, stage: Stage) -> None:
        self._safely(GuardRun.end_evaluation, stage)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a validation."""
        self._evaluation_start(trainer, pl_module)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Audit the first batch."""
        self._evaluation_batch_start("validate", batch, batch_idx, dataloader_idx)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """End the audit."""
        self._evaluation_batch_end(batch_idx)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the validation."""
        self._evaluation_end("validate")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a test."""
        self._evaluation_start(trainer, pl_module)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Audit the first batch."""
        self._evaluation_batch_start("test", batch, batch_idx, dataloader_idx)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """End the audit."""
        self._evaluation_batch_end(batch_idx)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the test."""
        self._evaluation_end("test")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a prediction."""
        self._evaluation_start(trainer, pl_module)

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Audit the first batch."""
        self._evaluation_batch_start("predict", batch, batch_idx, dataloader_idx)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """End the audit."""
        self._evaluation_batch_end(batch_idx)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the prediction."""
        self._evaluation_end("predict")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove every hook and say what was found; Lightning does not call `teardown` after an exception."""
        self._end()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove every hook and say what was found."""
        self._end()
        self._error = ""


def _earlier_guards(guard: Guard, trainer: Trainer) -> list[Guard]:
    """Return the guards that stand before this one in the Trainer: they hold their rules and panels, this one cedes them."""
    earlier: list[Guard] = []
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if callback is guard:
            break
        if isinstance(callback, Guard):
            earlier.append(callback)
    return earlier
