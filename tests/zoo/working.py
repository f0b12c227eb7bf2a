"""What a process of the pool does, in its tests."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.faults.result import Job, Result


def work(job: Job, folder: Path, min_epochs: int, connection: Connection) -> None:
    """Do what the key says: come to an end, crash, or sleep."""
    suite, key, seed = job
    (folder / "output.txt").write_text("last words")
    if key == "crash":
        os._exit(3)
    if key == "sleep":
        time.sleep(60)
    connection.send(Result(suite=suite, case=key, kind="healthy", name=key, code="", stratum="", seed=seed))
