"""What the guard costs: an unsampled step, a sampled one, the whole, memory, bytes logged, host syncs."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from rich.progress import Progress

from benchmarks.interleave import Phase, Step, blocks_of, median_seconds, run
from benchmarks.models import EVERY, Work
from benchmarks.spread import Spread
from lightning_nnguard import NNGuard
from lightning_nnguard.callbacks.guard import Guard
from lightning_nnguard.probe.schedule import DENSE_EVERY, is_sampled


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """What the guard costs one training. Shares are relative to a bare step, its neighbour in time.

    Attributes:
        title: The training.
        num_parameters: Its parameters.
        step_seconds: Median of a bare step.
        noise: Bare steps against bare steps, as the unsampled ones are measured: what a share of nothing looks like.
        unsampled: An unsampled step. Its block holds a sampled one, so some of that one's aftermath (cold caches) is in it.
        unsampled_own: The same by the guard's own watch: seconds in its hooks.
        sampled: A sampled step, in training steps, without the step itself.
        sampled_own: The same by the guard's own watch.
        whole: Windows of 50 steps, one of them sampled, against bare windows of 50.
        num_bytes: Bytes logged for each sampled step.
        syncs_unsampled: Values that the host reads in an unsampled step, those of a bare one taken off.
        syncs_sampled: The same in a sampled step.
        memory: Peak memory in bytes, that of a bare training taken off; None where it was not measured.
    """

    title: str
    num_parameters: int
    step_seconds: float
    noise: Spread
    unsampled: Spread
    unsampled_own: float
    sampled: Spread
    sampled_own: float
    whole: Spread
    num_bytes: float
    syncs_unsampled: int
    syncs_sampled: int
    memory: int | None

    def derived(self, every: int = EVERY, *, own: bool = False) -> float:
        """Return the whole as it follows from its parts, one of `every` steps being sampled."""
        unsampled, sampled = (self.unsampled_own, self.sampled_own) if own else (self.unsampled.median, self.sampled.median)
        return ((every - 1) * unsampled + sampled) / every

    def derived_start(self, *, own: bool = False) -> float:
        """Return the whole over the first 200 steps, of which one in ten is sampled."""
        return self.derived(DENSE_EVERY, own=own)


def own_seconds_of(guard: Guard) -> float:
    """Return the seconds that a guard has counted of itself in the fit that goes on.

    Raises:
        RuntimeError: If the guard is off: what is measured then is not its cost.
    """
    if guard._run is None:
        raise RuntimeError(f"the guard is off: {guard._error or 'it could not start'}")
    return guard._run.probe.total_seconds


def measure(
    key: str,
    work: Work,
    progress: Progress,
    *,
    clock: Callable[[], float] = perf_counter,
    scale: float = 1.0,
    memory: bool = True,
) -> Overhead:
    """Measure the guard on one training.

    Args:
        key: Name of the training on the command line.
        work: The training.
        progress: Where to show progress.
        clock: Returns seconds.
        scale: Share of the repetitions to make.
        memory: Whether to measure memory, which takes two more processes.
    """
    guard = NNGuard(every_n_steps=work.block)

    def begin(phase: Phase) -> None:
        assert guard._run is not None
        guard._run.probe.cadence.every_n_steps = phase.block

    def repeated(number: int, least: int = 5) -> int:
        return max(least, round(number * scale))

    phases = [
        Phase(name="warm-up", block=work.block, num_pairs=2),
        Phase(name="blocks", block=work.block, num_pairs=repeated(work.num_blocks)),
        Phase(name="windows", block=EVERY, num_pairs=repeated(work.num_windows, least=1) if work.block < EVERY else 0),
        Phase(name="syncs", block=work.block, num_pairs=1, counts_syncs=True),
    ]
    steps = run(
        work, guard, phases, clock=clock, own_seconds=partial(own_seconds_of, guard), begin=begin, progress=(progress, work.title)
    )
    module, _ = work.make()
    return summarise(
        steps,
        title=work.title,
        num_parameters=sum(each.numel() for each in module.parameters()),
        block=work.block,
        memory=peak_memory(key, "guarded") - peak_memory(key, "bare") if memory else None,
    )


def summarise(steps: Sequence[Step], *, title: str, num_parameters: int, block: int, memory: int | None) -> Overhead:
    """Turn the times of steps into what the guard costs."""
    timed = blocks_of(steps, "blocks")
    noise, unsampled, sampled, own = [], [], [], []
    for index, steps_of_block in timed.items():
        if steps_of_block[0].is_on:
            # blocks come as on off off on on off: one neighbour is bare
            bare = median_seconds([step for near in (index - 1, index + 1) for step in timed.get(near, ()) if not step.is_on])
            by_kind = {kind: [step for step in steps_of_block if is_sampled(step.number, block) == kind] for kind in (False, True)}
            unsampled.append(median_seconds(by_kind[False]) / bare - 1)
            sampled.append(median_seconds(by_kind[True]) / bare - 1)
            own.append(tuple(statistics.median(step.own_seconds for step in by_kind[kind]) / bare for kind in (False, True)))
        elif {index - 4, index + 4} <= timed.keys():  # the same place in the order before and after
            noise.append(median_seconds(steps_of_block) / median_seconds([*timed[index - 4], *timed[index + 4]]) - 1)
    windows = blocks_of(steps, "windows" if block < EVERY else "blocks")
    whole = []
    for index in range(0, len(windows), 2):
        pair = {windows[each][0].is_on: sum(step.seconds for step in windows[each]) for each in (index, index + 1)}
        whole.append(pair[True] / pair[False] - 1)
    syncs = [step for step in steps if step.phase == "syncs"]
    of_bare = statistics.median_low([step.num_syncs for step in syncs if not step.is_on])
    of_kind = {
        kind: statistics.median_low([step.num_syncs for step in syncs if step.is_on and is_sampled(step.number, block) == kind])
        for kind in (False, True)
    }
    sizes = {step.phase: step.num_bytes for step in steps if step.num_bytes}
    return Overhead(
        title=title,
        num_parameters=num_parameters,
        step_seconds=statistics.median(step.seconds for each in timed.values() for step in each if not step.is_on),
        noise=Spread.of(noise),
        unsampled=Spread.of(unsampled),
        unsampled_own=statistics.median(each[0] for each in own),
        sampled=Spread.of(sampled),
        sampled_own=statistics.median(each[1] for each in own),
        whole=Spread.of(whole),
        num_bytes=(sizes["blocks"] - sizes["warm-up"]) / len(own),
        syncs_unsampled=of_kind[False] - of_bare,
        syncs_sampled=of_kind[True] - of_bare,
        memory=memory,
    )


def peak_memory(key: str, kind: str) -> int:
    """Return the peak memory in bytes of a few steps in a process of their own.

    Args:
        key: Name of the training on the command line.
        kind: "guarded" (every step sampled) or "bare".
    """
    command = [sys.executable, "-m", "benchmarks.memory", key, kind]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr}")
    return int(result.stdout.split()[-1])
