"""Healthy programs are clean: no warning, no error, and nothing of the guard breaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.faults.healthy import PROGRAMS
from benchmarks.faults.program import Program, run
from lightning_nnguard import Severity


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_healthy_programs_are_clean(make: Callable[[], Program], tmp_path: Path) -> None:
    outcome = run(make, tmp_path)
    assert [finding.text for finding in outcome.findings if finding.severity > Severity.INFO] == []
    assert [note for note in outcome.notes if not note.startswith("code is compiled")] == []
