"""Several ranks in forked processes: a hang ends the processes and fails the test."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from benchmarks.ranks.intercept import Interceptor
from benchmarks.ranks.summary import STEP_HOOKS
from lightning_nnguard import NNGuardWarning
from lightning_nnguard.observation import DeadUnitsSeen, GradientSeen, HistogramSeen, Seen, UpdateSeen
from lightning_nnguard.stats.norms import local
from tests.programs import seed, trainer


@dataclass(frozen=True)
class Rank:
    """What one rank saw.

    Attributes:
        findings: The guard's findings, in the order that it gives them.
        error: Class of the exception that ended the run; "" when none did.
        reduces: Steps -> calls of `all_reduce` while their batch ran.
        gathers: Steps -> calls of `all_gather_object` likewise.
        own: Kind, hook and step of each collective that the guard itself has called, of all kinds, in order.
        sampled: Steps that were sampled.
        weights: Sum of all weights at the end; of this rank's shards, where they are sharded.
        digest: Digest of the bytes of all weights and buffers at the end.
        measured: Numbers that the guard has measured, by "step kind place".
        told: What went to standard error.
    """

    findings: list[dict[str, Any]]
    error: str
    reduces: dict[str, int]
    gathers: dict[str, int]
    own: list[tuple[str, str, int]]
    sampled: list[int]
    weights: float
    digest: str
    measured: dict[str, list[float]]
    told: str

    def names(self) -> list[str]:
        return [finding["name"] for finding in self.findings]

    def in_steps(self) -> dict[tuple[int, str], int]:
        """Return how many collectives of each kind the guard has called in each step, reading it at the next one included."""
        return Counter((step, kind) for kind, hook, step in self.own if hook in STEP_HOOKS)


class Report(pl.Callback):
    """Stands behind the guard and writes down what its rank saw. It also counts the collectives of each batch."""

    def __init__(self, guard: Any, folder: Path) -> None:
        self.guard, self.folder, self.error = guard, folder, ""
        self.counts: dict[str, dict[int, int]] = {"all_reduce": {}, "all_gather_object": {}}
        self.step, self.sampled = -1, []  # type: ignore[var-annotated]
        self.measured: dict[str, list[float]] = {}
        self.interceptor = Interceptor()

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.interceptor.start()
        for name in self.counts:
            setattr(dist, name, self._counted(name, getattr(dist, name)))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        run = self.guard._run if self.guard is not None else None
        if run is None:
            return
        see = run.monitor.see

        def seen(observations: Any) -> Any:
            for each in observations:
                if (numbers := _numbers(each)) is not None:
                    self.measured[f"{each.step} {type(each).__name__} {getattr(each, 'quantity', '')}{each.where}"] = numbers
            return see(observations)

        run.monitor.see = seen

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.counts[name][self.step] = self.counts[name].get(self.step, 0) + 1
            return function(*args, **kwargs)

        return counted

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.step = self.interceptor.step = trainer.fit_loop.epoch_loop._batches_that_stepped
        run = self.guard._run if self.guard is not None else None
        if run is not None and run.probe.training.is_sampling:
            self.sampled.append(self.step)

    def on_train_batch_end(self, *args: Any) -> None:
        self.step = -1

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.error = type(exception).__name__
        self.write(trainer, pl_module)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.write(trainer, pl_module)

    def write(self, trainer: Any, module: Any) -> None:
        content = {
            "findings": [] if self.guard is None else [finding.as_dict() for finding in self.guard.findings],
            "error": self.error,
            "reduces": {step: count for step, count in self.counts["all_reduce"].items() if step >= 0},
            "gathers": {step: count for step, count in self.counts["all_gather_object"].items() if step >= 0},
            "own": [(call.kind, call.hook, call.step) for call in self.interceptor.calls if call.hook],
            "sampled": self.sampled,
            "weights": float(sum(local(each).double().sum() for each in module.parameters())),
            "digest": digest_of(module),
            "measured": self.measured,
        }
        (self.folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(content))


def digest_of(module: Any) -> str:
    """Return a digest of the bytes of a module's weights and buffers, as far as this rank has them."""
    digest = hashlib.sha256()
    for name, each in sorted({**dict(module.named_parameters()), **dict(module.named_buffers())}.items()):
        digest.update(name.encode() + local(each.detach()).reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _numbers(seen: Seen) -> list[float] | None:
    match seen:
        case UpdateSeen():
            return [seen.update_norm, seen.weight_norm, seen.ratio]
        case GradientSeen():
            return [seen.norm, seen.rms]
        case DeadUnitsSeen():
            return [seen.num_units, seen.num_dead, seen.num_samples]
        case HistogramSeen():
            return [*seen.counts, seen.low, seen.high]
    return None


def two_ranks(build: Callable[[], Any], guard: Any, folder: Path, **options: Any) -> tuple[Rank, Rank]:
    """Fit a module on two ranks and return what each saw; see `many_ranks`."""
    first, second = many_ranks(2, build, guard, folder, **options)
    return first, second


def many_ranks(
    num: int,
    build: Callable[[], Any],
    guard: Any,
    folder: Path,
    *,
    train: Any,
    validation: Any = None,
    prepare: Callable[[], None] | None = None,
    seconds: float = 90,
    lost: Set[int] = frozenset(),
    **options: Any,
) -> tuple[Rank, ...]:
    """Fit a module on some ranks and return what each saw.

    Args:
        num: Number of ranks.
        build: Builds the module.
        guard: The guard; None for a run without one.
        folder: Where the ranks write.
        train: Training loader.
        validation: Validation loader.
        prepare: Runs before the ranks part.
        seconds: After this time the ranks count as hanging.
        lost: Ranks that die without a report; the last ones.
        options: Arguments of the Trainer.
    """

    def rank(index: int) -> None:
        if prepare is not None:
            prepare()
        seed(0)
        callbacks = [each for each in (guard, Report(guard, folder)) if each is not None]
        made = trainer(*callbacks, **{"strategy": "ddp", "devices": num, "default_root_dir": folder, **options})
        made.fit(build(), train, validation)

    told = on_ranks(num, rank, folder, seconds=seconds)
    reports = [folder / f"rank{index}.json" for index in range(num) if index not in lost]
    assert all(report.exists() for report in reports), told
    return tuple(Rank(**json.loads(report.read_text()), told=text) for report, text in zip(reports, told, strict=not lost))


def on_ranks(num: int, work: Callable[[int], None], folder: Path, *, seconds: float = 90) -> list[str]:
    """Run a function on some ranks and return what each wrote to standard error.

    Args:
        num: Number of ranks.
        work: What each rank does, given its number.
        folder: Where the ranks write.
        seconds: After this time the ranks count as hanging.
    """
    port = find_free_network_port()

    def rank(index: int) -> None:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(index), "WORLD_SIZE": str(num)}
        sys.stderr = (folder / f"stderr{index}.txt").open("a", buffering=1)
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=NNGuardWarning)
        warnings.showwarning = lambda message, *args, **kwargs: print(message, file=sys.stderr)  # past pytest's recorder
        work(index)

    processes = [multiprocessing.get_context("fork").Process(target=rank, args=(index,)) for index in range(num)]
    for process in processes:
        process.start()
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0))
    hanging = [process for process in processes if process.is_alive()]
    for process in hanging:
        process.kill()
        process.join()
    told = [(folder / f"stderr{index}.txt").read_text() for index in range(num)]
    assert not hanging, "the ranks hang:\n" + "\n".join(each[-3000:] for each in told)
    return told
