"""Starting ranks as processes of this machine, and reading what they did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Timer

from lightning.fabric.plugins.environments.lightning import find_free_network_port

from benchmarks.ranks.intercept import Call
from benchmarks.ranks.worker import Job, Ran

#: After this time without a step ranks count as hanging, and are ended.
TIMEOUT_SECONDS = 600


def launch(job: Job, *, progress: Callable[[], None]) -> list[Ran]:
    """Run all ranks of a job and return what each did, in rank order.

    Args:
        job: What to do; its folder is replaced by one of its own.
        progress: Called once for every step.

    Raises:
        RuntimeError: If a rank fails or hangs, or if the guard on it was off.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = json.dumps({**asdict(job), "folder": folder})
        with _ranks(asked, job.world_size, Path(folder)) as processes:
            for line in _lines(processes):
                if line.strip().isdigit():
                    progress()
        failed = [rank for rank, process in enumerate(processes) if process.returncode]
        if failed:
            told = (Path(folder) / f"stderr{failed[0]}.txt").read_text()
            raise RuntimeError(f"ranks {failed} of {job.world_size} failed; rank {failed[0]}:\n{told[-3000:]}")
        ran = [_read(Path(folder) / f"rank{rank}.json") for rank in range(job.world_size)]
    problems = {each.error for each in ran if each.error}
    if problems:
        raise RuntimeError(f"the guard was off: {problems}")
    return ran


def _lines(processes: Sequence[subprocess.Popen[str]]) -> Iterator[str]:
    """Iterate over what the first rank prints; all ranks are ended when nothing comes for long, or when one goes on for long."""

    def end() -> None:
        for process in processes:
            process.kill()

    lines = processes[0].stdout
    assert lines is not None
    watchdog = _started(end)
    for line in lines:
        watchdog.cancel()
        watchdog = _started(end)
        yield line
    for process in processes:
        process.wait()
    watchdog.cancel()


def _started(end: Callable[[], None]) -> Timer:
    timer = Timer(TIMEOUT_SECONDS, end)
    timer.daemon = True
    timer.start()
    return timer


@contextmanager
def _ranks(asked: str, world_size: int, folder: Path) -> Iterator[Sequence[subprocess.Popen[str]]]:
    """Start the processes; none is left when this ends."""
    port = find_free_network_port()
    common = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world_size),
        "OMP_NUM_THREADS": "1",
    }
    processes: list[subprocess.Popen[str]] = []
    try:
        for rank in range(world_size):
            with (folder / f"stderr{rank}.txt").open("w") as told:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "benchmarks.ranks.worker", asked],
                        env={**common, "LOCAL_RANK": str(rank)},
                        stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
                        stderr=told,
                        text=True,
                    )
                )
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def _read(path: Path) -> Ran:
    found = json.loads(path.read_text())
    return Ran(**{**found, "calls": [Call(**each) for each in found["calls"]]})
