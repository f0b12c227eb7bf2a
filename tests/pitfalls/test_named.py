"""Each pitfall of the table has a test that names it, and each marker names a pitfall of the table."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.running import ROOT

TABLE = re.compile(r"^\| (\d+) \|", re.MULTILINE)
COLLECT = """
import sys, pytest
class Numbers:
    def pytest_collection_finish(self, session):
        print("numbers:", *{mark.args for item in session.items for mark in item.iter_markers("pitfall")}, sep="\\n")
sys.exit(pytest.main(["--collect-only", "-q", "-m", "pitfall", "tests"], plugins=[Numbers()]))
"""


def named(items: Iterable[pytest.Item]) -> set[int]:
    return {mark.args[0] for item in items for mark in item.iter_markers("pitfall")}


def named_by_all_tests() -> set[int]:
    """Return the numbers that any test of this project names, whatever this session was asked to run."""
    done = subprocess.run([sys.executable, "-c", COLLECT], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return {int(number) for number in re.findall(r"^\((\d+),\)$", done.stdout, re.MULTILINE)}


def test_each_pitfall_has_a_test_that_names_it(request: pytest.FixtureRequest) -> None:
    listed = list(map(int, TABLE.findall((Path(__file__).parent / "README.md").read_text())))
    assert listed == list(range(1, 31))
    found = named(request.session.items)
    if not set(listed) <= found:  # a session that runs a part of the tests
        found |= named_by_all_tests()
    assert found == set(listed)
