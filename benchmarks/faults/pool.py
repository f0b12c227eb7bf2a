"""Runs programs in processes of their own, some at a time, each with a time limit.

The processes are forked from a server that has imported everything and run nothing: a fresh interpreter for each program, without
the seconds that its imports take. What one program compiles, patches or breaks is gone with its process.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.faults.case import Case
from benchmarks.faults.result import Job, Result, Status

WORKER = "benchmarks.faults.worker"
Work = Callable[[Job, Path, int, Connection], None]


@dataclass(frozen=True, kw_only=True)
class _Running:
    job: Job
    process: BaseProcess
    connection: Connection
    folder: tempfile.TemporaryDirectory[str]
    start: float

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()
        self.folder.cleanup()


def run_jobs(
    jobs: Sequence[Job], by_key: Mapping[str, Case], work: Work, *, num_processes: int, timeout: float, min_epochs: int = 0
) -> Iterator[Result]:
    """Run jobs and yield their results as they come.

    Args:
        jobs: What to run.
        by_key: All programs.
        work: What a process does; a function of a module that can be imported.
        num_processes: Processes at a time.
        timeout: Seconds that a program may take.
        min_epochs: Handed on to the worker.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    waiting, running = list(reversed(jobs)), list[_Running]()
    try:
        while waiting or running:
            while waiting and len(running) < num_processes:
                running.append(_start(context, waiting.pop(), work, min_epochs))
            wait([each.connection for each in running], timeout=1.0)
            for each in list(running):
                result = _result(each, by_key[each.job[1]], timeout)
                if result is not None:
                    running.remove(each)
                    each.end()
                    yield result
    finally:
        for each in running:
            each.end()


def _start(context: multiprocessing.context.ForkServerContext, job: Job, work: Work, min_epochs: int) -> _Running:
    folder = tempfile.TemporaryDirectory(prefix="zoo", ignore_cleanup_errors=True)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(job, Path(folder.name), min_epochs, theirs))
    process.start()
    theirs.close()
    return _Running(job=job, process=process, connection=ours, folder=folder, start=time.perf_counter())


def _result(running: _Running, case: Case, timeout: float) -> Result | None:
    """Return the result of a process that has ended, or has to; None while it runs."""
    seconds = time.perf_counter() - running.start
    try:
        if running.connection.poll():
            received: Result = running.connection.recv()
            return received
    except EOFError:
        running.process.join()
        return _failed(running, case, "error", seconds, f"exit code {running.process.exitcode}: {_output(running)}")
    if seconds > timeout:
        return _failed(running, case, "timeout", seconds, f"took more than {timeout:.0f} s")
    return None


def _output(running: _Running) -> str:
    path = Path(running.folder.name) / "output.txt"
    return path.read_text("utf-8", errors="replace")[-1000:] if path.exists() else "it printed nothing"


def _failed(running: _Running, case: Case, status: Status, seconds: float, error: str) -> Result:
    suite, key, seed = running.job
    return Result(
        suite=suite,
        case=key,
        kind=case.kind,
        name=case.name,
        code=case.code,
        stratum=case.stratum,
        twin=case.twin,
        seed=seed,
        status=status,
        seconds=round(seconds, 2),
        error=error,
    )
