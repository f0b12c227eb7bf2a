"""The pool: a result for each job, whatever becomes of its process."""

from __future__ import annotations

from benchmarks.faults.case import Case
from benchmarks.faults.pool import run_jobs
from benchmarks.faults.program import Program
from benchmarks.faults.result import Job
from tests.zoo.working import work


def _nothing() -> Program:
    raise NotImplementedError


def test_results_come_from_processes_that_end_crash_or_hang() -> None:
    by_key = {key: Case(kind="healthy", name=key, make=_nothing) for key in ("ends", "crash", "sleep")}
    jobs: list[Job] = [("guard", key, 0) for key in by_key]
    found = {result.case: result for result in run_jobs(jobs, by_key, work, num_processes=3, timeout=10.0)}
    assert found["ends"].status == "ok"
    assert (found["crash"].status, found["crash"].error) == ("error", "exit code 3: last words")
    assert found["sleep"].status == "timeout"
