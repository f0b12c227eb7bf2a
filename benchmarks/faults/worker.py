"""One run of one program in a process of its own."""

from __future__ import annotations

import functools
import logging
import os
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from benchmarks.faults.baselines import TOOLS
from benchmarks.faults.baselines.record import record
from benchmarks.faults.case import Case, cases
from benchmarks.faults.program import run
from benchmarks.faults.result import GUARD, Job, Result, Said, Suite
from lightning_nnguard.rules import all_rules

all_rules()  # the rules are imported once, before the processes fork, and are the same in all of them


@functools.cache
def _by_key() -> dict[str, Case]:
    return {case.key: case for case in cases()}


def work(job: Job, folder: Path, min_epochs: int, connection: Connection) -> None:
    """Run a program and send its result; what it prints goes to a file.

    Args:
        job: What to run.
        folder: Folder of this run; it is the working directory, too.
        min_epochs: Epochs that the recorder lets it train at least.
        connection: Where the result goes.
    """
    os.chdir(folder)
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    suite, key, seed = job
    connection.send(run_case(suite, _by_key()[key], seed, folder, min_epochs))
    connection.close()


def run_case(suite: Suite, case: Case, seed: int, folder: Path, min_epochs: int = 0) -> Result:
    """Run a program under the guard, or under the recorder of the other tools.

    Args:
        suite: Which of the two.
        case: The program.
        seed: Seed of the run.
        folder: Where it may write.
        min_epochs: Epochs that the recorder lets it train at least.
    """
    start = time.perf_counter()
    said: dict[str, tuple[Said, ...]] = {}
    notes: tuple[str, ...] = ()
    error = ""
    try:
        if suite == "guard":
            outcome = run(case.make, folder, seed=seed)
            notes = tuple(outcome.notes)
            said[GUARD] = tuple(
                Said(code=each.code, severity=str(each.severity), step=outcome.said.get(each.code, each.step), where=each.place)
                for each in outcome.findings
            )
        else:
            records = record(case.make, folder, seed=seed, min_epochs=min_epochs)
            notes = records.notes
            for tool in TOOLS:
                alarms = tool.judge(records)
                said[tool.name] = tuple(Said(code=each.symptom, severity="warning", step=each.step) for each in alarms)
    except Exception:
        error = traceback.format_exc(limit=-8)
    return Result(
        suite=suite,
        case=case.key,
        kind=case.kind,
        name=case.name,
        code=case.code,
        stratum=case.stratum,
        twin=case.twin,
        seed=seed,
        status="error" if error else "ok",
        seconds=round(time.perf_counter() - start, 2),
        said=said,
        notes=notes,
        error=error,
    )
