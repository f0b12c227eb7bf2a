"""One rank: a real fit with gloo, bare or guarded, all of whose collectives are written down."""

from __future__ import annotations

import json
import logging
import os
import pickle
import statistics
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.models import BasicBlock, Batch, Training
from benchmarks.ranks.intercept import Call, Interceptor
from lightning_nnguard import NNGuard
from lightning_nnguard.probe.schedule import is_sampled

BATCH = 8
_SHAPE, _NUM_CLASSES = (3, 16, 16), 10
_VALIDATION_BATCHES = 4
#: Repetitions of the all-reduces alone, and of those before them that are not counted.
_ALONE, _WARM_UP = 200, 20
#: Repetitions of unpickling an object.
_UNPICKLED = 9


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a rank is to do.

    Attributes:
        folder: Where it writes.
        world_size: Ranks.
        guarded: Whether the guard is there.
        steps: Training steps.
        epochs: Epochs that they are split into; each ends with a validation.
        every_n_steps: One of so many steps is sampled.
    """

    folder: str
    world_size: int
    guarded: bool
    steps: int
    epochs: int
    every_n_steps: int


@dataclass(kw_only=True)
class Ran:
    """What a rank did.

    Attributes:
        calls: All collectives of the fit.
        sampled: Steps that were sampled.
        num_steps: Steps that were made.
        num_validations: Validations that were made.
        num_layers: Modules without children.
        num_parameters: Numbers that are trained.
        alone: Seconds of the all-reduces of a sampled step, one pair after the other with nothing between them.
        step_seconds: Median seconds of a step that was not sampled.
        error: Why the guard was off at the end; "" when it was not.
    """

    calls: list[Call]
    sampled: list[int]
    num_steps: int
    num_validations: int
    num_layers: int
    num_parameters: int
    alone: list[float]
    step_seconds: float
    error: str


class Marker(Callback):
    """Tells the interceptor the step, and the parent how far the run has come. It must be the Trainer's first callback."""

    def __init__(self, interceptor: Interceptor, guard: NNGuard | None, job: Job) -> None:
        self.interceptor, self.guard, self.job = interceptor, guard, job
        self.sampled: list[int] = []
        self.seconds: list[float] = []
        self.num_validations, self._start = 0, 0.0
        self.error = ""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.interceptor.step = trainer.fit_loop.epoch_loop._batches_that_stepped
        self._start = perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.guard is not None and self.guard._run is not None and self.guard._run.probe.training.is_sampling:
            self.sampled.append(self.interceptor.step)
        else:
            self.seconds.append(perf_counter() - self._start)
        if trainer.is_global_zero:
            print(self.interceptor.step, flush=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.num_validations += 1

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.guard is not None:
            self.error = self.guard._error or ("" if self.guard._run is not None else "it could not start")


class Classification(Training):
    """Training with a validation whose loss is averaged over ranks."""

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        inputs, targets = batch
        self.log("val_loss", F.cross_entropy(self.net(inputs), targets), sync_dist=True)


def narrow_resnet() -> nn.Sequential:
    """Return a ResNet-34 of an eighth of its width: 36 convolutions and as many batch norms."""
    blocks: list[nn.Module] = []
    for before, after, stride, depth in ((8, 8, 1, 3), (8, 16, 2, 4), (16, 32, 2, 6), (32, 64, 2, 3)):
        blocks += [BasicBlock(before, after, stride), *(BasicBlock(after, after, 1) for _ in range(depth - 1))]
    stem = [nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, _NUM_CLASSES))


def loaders(job: Job) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Return training and validation data that a linear teacher has labelled; Lightning gives each rank its part."""
    per_epoch = job.steps // job.epochs
    teacher = torch.randn(torch.Size(_SHAPE).numel(), _NUM_CLASSES)

    def data(num_batches: int) -> TensorDataset:
        inputs = torch.randn(num_batches * BATCH * job.world_size, *_SHAPE)
        return TensorDataset(inputs, (inputs.flatten(1) @ teacher).argmax(1))

    return DataLoader(data(per_epoch), BATCH, shuffle=True), DataLoader(data(_VALIDATION_BATCHES), BATCH)


def fit(job: Job) -> Ran:
    """Train as one of the ranks that the environment tells of."""
    torch.manual_seed(0)
    module, (train, validation) = Classification(narrow_resnet(), 1e-3), loaders(job)
    torch.manual_seed(int(os.environ["LOCAL_RANK"]))
    guard = NNGuard(every_n_steps=job.every_n_steps) if job.guarded else None
    interceptor = Interceptor()
    marker = Marker(interceptor, guard, job)
    trainer = Trainer(
        accelerator="cpu",
        strategy="ddp",
        devices=job.world_size,
        callbacks=[marker, *([guard] if guard is not None else [])],
        logger=TensorBoardLogger(job.folder),
        max_epochs=job.epochs,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=job.folder,
    )
    interceptor.start()
    trainer.fit(module, train, validation)
    calls = list(interceptor.calls)
    expected = [step for step in range(trainer.global_step) if guard is not None and is_sampled(step, job.every_n_steps)]
    if marker.sampled != expected:
        raise RuntimeError(f"steps {marker.sampled} were sampled, not {expected}: {marker.error}")
    for number, pickled in interceptor.objects.items():
        calls[number].unpickling = time_unpickling(pickled)
    last = max(marker.sampled, default=-1)
    sizes = [call.num_bytes for call in calls if call.hook and call.kind == "all_reduce" and call.step == last]
    return Ran(
        calls=calls,
        sampled=marker.sampled,
        num_steps=trainer.global_step,
        num_validations=marker.num_validations,
        num_layers=sum(not list(each.children()) for each in module.modules()),
        num_parameters=sum(each.numel() for each in module.parameters()),
        alone=time_alone(sizes) if sizes else [],
        step_seconds=statistics.median(marker.seconds),
        error=marker.error,
    )


def time_alone(sizes: Sequence[int]) -> list[float]:
    """Return the seconds of all-reduces of these sizes, sent together as the guard sends them, many times."""
    tensors = [torch.zeros(size // 4) for size in sizes]
    seconds = []
    for number in range(_WARM_UP + _ALONE):
        start = perf_counter()
        for work in [dist.all_reduce(each, op=dist.ReduceOp.MAX, async_op=True) for each in tensors]:
            work.wait()
        if number >= _WARM_UP:
            seconds.append(perf_counter() - start)
    return seconds


def time_unpickling(pickled: bytes) -> float:
    """Return the seconds that it takes to turn bytes back into an object."""
    seconds = []
    for _ in range(_UNPICKLED):
        start = perf_counter()
        pickle.loads(pickled)
        seconds.append(perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    """Do the job of the command line, and write down what was done."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning_nnguard").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    job = Job(**json.loads(sys.argv[1]))
    path = Path(job.folder, f"rank{os.environ['LOCAL_RANK']}.json")
    path.write_text(json.dumps(asdict(fit(job))))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
