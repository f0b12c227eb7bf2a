"""Logbooks: what a guarded run has left in `nnguard.jsonl`, read back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "nnguard.jsonl"


@dataclass(frozen=True, kw_only=True)
class Logbook:
    """The latest run in a file. Fields that the file does not hold (a run that is still going on) are empty.

    Attributes:
        path: The file.
        start: What the run is; see `RunStart`.
        epochs: Records of the ends of epochs, in order: "epoch", "step", "metrics".
        findings: Findings as they stand last, of all guards of the run; worst first as far as it had ended.
        summary: The end of the run, as the first of its guards told it; see `RunSummary`.
    """

    path: Path
    start: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]]
    findings: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]


def find(run: Path) -> Path:
    """Return the logbook of a run: the file itself, or the newest one in or below a folder.

    Raises:
        ValueError: If there is none.
    """
    if run.is_file():
        return run
    found = sorted(run.rglob(FILE), key=lambda path: path.stat().st_mtime) if run.is_dir() else []
    if not found:
        raise ValueError(f"run is {str(run)!r}; it must be a file {FILE!r}, or a folder that holds one")
    return found[-1]


def read(run: Path) -> Logbook:
    """Read the latest run of a logbook.

    Args:
        run: The file, or a folder that holds it.

    Raises:
        ValueError: If there is no such file, or a line is not a JSON object with an "event".
    """
    path = find(run)
    records: list[Mapping[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            event = record["event"]
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{path}:{number} is no line of a logbook: {line[:80]!r}") from None
        records = [record] if event == "start" else [*records, record]
    by_event = {name: [each for each in records if each["event"] == name] for name in ("start", "epoch", "summary")}
    ends = by_event["summary"]
    said = {each["code"]: each for each in records if each["event"] in ("new", "recovered")}
    last = {each["code"]: each for end in ends for each in end["findings"]}
    return Logbook(
        path=path,
        start=by_event["start"][-1] if by_event["start"] else {},
        epochs=by_event["epoch"],
        findings=sorted({**said, **last}.values(), key=_rank) if ends else list(said.values()),
        summary=ends[0] if ends else {},
    )


def _rank(finding: Mapping[str, Any]) -> int:
    """Return a number that is smaller for worse findings."""
    return ("error", "warning", "info").index(finding["severity"])


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested record as one level of names with dots between, lists by index."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
            value = {str(index): each for index, each in enumerate(value)}
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
