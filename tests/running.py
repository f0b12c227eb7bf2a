"""Running the repository's programs as users do: in a process of their own, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_module(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Return the ended process; its output is text, and wide enough that no line is broken."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", name, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False)
