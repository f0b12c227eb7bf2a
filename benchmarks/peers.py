"""Other ways to look into a training, on the same work: what a step costs that they look at."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import Progress
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from benchmarks.interleave import Phase, blocks_of, median_seconds, run
from benchmarks.models import EVERY, Work
from benchmarks.spread import Spread

MAX_SECONDS = 12.0


class AddHistogram(Callback):
    """What tutorials show: `add_histogram` for every weight, every gradient and every layer's output."""

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []
        self._outputs: dict[str, Tensor] = {}

    def attach(self, trainer: Trainer, module: LightningModule) -> None:
        for name, layer in module.named_modules():
            if not list(layer.children()):
                self._handles.append(layer.register_forward_hook(self._keep(name)))

    def _keep(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(layer: nn.Module, args: object, output: Tensor) -> None:
            self._outputs[name] = output.detach()

        return keep

    def detach(self, trainer: Trainer, module: LightningModule) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        writer, step = trainer.logger.experiment, trainer.global_step
        for name, output in self._outputs.items():
            writer.add_histogram(f"outputs/{name}", output, step)
        for name, parameter in pl_module.named_parameters():
            writer.add_histogram(f"weights/{name}", parameter, step)
            if parameter.grad is not None:
                writer.add_histogram(f"gradients/{name}", parameter.grad, step)
        self._outputs.clear()


class DetectAnomaly(Callback):
    """`torch.autograd.set_detect_anomaly(True)`, which is also `Trainer(detect_anomaly=True)`."""

    def attach(self, trainer: Trainer, module: LightningModule) -> None:
        torch.autograd.set_detect_anomaly(True)

    def detach(self, trainer: Trainer, module: LightningModule) -> None:
        torch.autograd.set_detect_anomaly(False)


class WandbWatch(Callback):
    """`wandb.watch(model, log="all", log_freq=1)`, offline: histograms of weights and gradients."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        import wandb

        self._folder = tempfile.TemporaryDirectory()
        self._run = wandb.init(mode="offline", dir=self._folder.name, settings=wandb.Settings(silent=True, console="off"))

    def attach(self, trainer: Trainer, module: LightningModule) -> None:
        self._run.watch(module, log="all", log_freq=1)

    def detach(self, trainer: Trainer, module: LightningModule) -> None:
        self._run.unwatch(module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:  # fmt: skip
        self._run.log({"step": trainer.global_step})

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._run.finish()
        with suppress(OSError):
            self._folder.cleanup()


PEERS: dict[str, tuple[type[Callback], str | None]] = {
    "`add_histogram` of all": (AddHistogram, None),
    '`wandb.watch(log="all")`, offline': (WandbWatch, "wandb"),
    "`detect_anomaly`": (DetectAnomaly, None),
}


def measure_peers(work: Work, progress: Progress, *, clock: Callable[[], float] = perf_counter) -> dict[str, Spread | None]:
    """Return what a step with each peer costs, in training steps, without the step itself; None where it is not installed."""
    results: dict[str, Spread | None] = {}
    for name, (peer, package) in PEERS.items():
        if package is not None and find_spec(package) is None:
            results[name] = None
            continue
        block = 5 if work.block == EVERY else 1
        phases = [
            Phase(name="warm-up", block=block, num_pairs=1),
            Phase(name="pairs", block=block, num_pairs=40, min_pairs=2, max_seconds=MAX_SECONDS),
        ]
        steps = run(work, peer(), phases, clock=clock, progress=(progress, f"{work.title}: {name}"))
        blocks = list(blocks_of(steps, "pairs").values())
        ratios = []
        for pair in zip(blocks[::2], blocks[1::2], strict=True):
            seconds = {block[0].is_on: median_seconds(block) for block in pair}
            ratios.append(seconds[True] / seconds[False] - 1)
        results[name] = Spread.of(ratios)
    return results
