"""The logbook of a run, for machines: one JSON object a line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lightning_nnguard.finding import Finding
from lightning_nnguard.sinks.sink import EpochEnd, RunStart, RunSummary, Sink


class JsonLinesSink(Sink):
    """A file that grows by one line for the start of a fit, each epoch, each finding that is new, worse or recovered, and the end.

    Every line is strict JSON with a field "event": "start", "epoch", "new", "recovered" or "summary". NaN and infinities become the
    strings "nan", "inf" and "-inf".

    Args:
        path: The file; its folders are created. An existing file is continued.
    """

    def __init__(self, *, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def begin(self, start: RunStart) -> None:
        """Append what the run is."""
        self._append({"event": "start", **vars(start)})

    def end_epoch(self, end: EpochEnd) -> None:
        """Append the metrics of an epoch."""
        self._append({"event": "epoch", **vars(end)})

    def announce(self, finding: Finding) -> None:
        """Append one finding."""
        self._append({"event": "new" if finding.recovered is None else "recovered", **finding.as_dict()})

    def finish(self, summary: RunSummary) -> None:
        """Append the end of the run, with all findings as they ended."""
        numbers = {name: value for name, value in vars(summary).items() if name not in ("findings", "notes")}
        findings = [finding.as_dict() for finding in summary.findings]
        self._append({"event": "summary", **numbers, "notes": list(summary.notes), "findings": findings})

    def _append(self, record: Mapping[str, object]) -> None:
        line = json.dumps(_strict(record), allow_nan=False, ensure_ascii=False)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _strict(value: object) -> object:
    """Return `value` in types that strict JSON knows."""
    match value:
        case np.generic():
            return _strict(value.item())
        case float() if not math.isfinite(value):
            return str(value)
        case Mapping():
            return {str(key): _strict(each) for key, each in value.items()}
        case list() | tuple():
            return [_strict(each) for each in value]
    return value
