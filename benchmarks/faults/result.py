"""What was said in one run of one program, and the file of JSON lines that keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

Suite = Literal["guard", "baselines"]
Status = Literal["ok", "error", "timeout"]
GUARD = "NNGuard"
Job = tuple[Suite, str, int]


@dataclass(frozen=True, kw_only=True)
class Said:
    """One thing that a tool said.

    Attributes:
        code: Code of a rule, or the symptom of another tool.
        severity: "info", "warning" or "error".
        step: Step at which it was said.
        where: Place that it named.
    """

    code: str
    severity: str
    step: int
    where: str = ""

    @property
    def is_loud(self) -> bool:
        """Whether it is a warning or an error; an info is no alarm."""
        return self.severity != "info"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run of one program.

    Attributes:
        suite: What it ran under: the guard, or the recorder of the other tools.
        case: Key of the program.
        kind: "planted", "fixed" or "healthy".
        name: Name of the program.
        code: Code of the rule that is to name it; "" for a healthy program.
        stratum: Kind of mistake.
        twin: Key of the fixed twin of a planted fault; "" where there is none.
        seed: Seed of the run.
        status: Whether it ran to its end.
        seconds: Wall-clock seconds.
        said: Tool -> what it said, in the tool's own order; several places of one fault are one thing said.
        notes: What the guard could not do.
        error: Why it did not run to its end.
        sources: Digest of the sources that it ran with.
    """

    suite: Suite
    case: str
    kind: str
    name: str
    code: str
    stratum: str
    twin: str = ""
    seed: int
    status: Status = "ok"
    seconds: float = 0.0
    said: Mapping[str, tuple[Said, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str = ""
    sources: str = ""

    @property
    def job(self) -> Job:
        """What it is the result of."""
        return self.suite, self.case, self.seed

    def by(self, tool: str) -> tuple[Said, ...]:
        """Return what one tool said."""
        return self.said.get(tool, ())


def from_dict(record: Mapping[str, Any]) -> Result:
    """Return the result that a line of the file holds."""
    said = {tool: tuple(Said(**each) for each in found) for tool, found in record["said"].items()}
    return Result(**{**record, "said": said, "notes": tuple(record["notes"])})


class Store:
    """The file of results. The last line about a job counts, so a run that was cut short goes on where it was.

    Args:
        path: The file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[Job, Result]:
        """Return the latest result of each job; a line that was cut short is left out."""
        found: dict[Job, Result] = {}
        if not self.path.exists():
            return found
        for line in self.path.read_text("utf-8").splitlines():
            try:
                result = from_dict(json.loads(line))
            except (json.JSONDecodeError, KeyError, TypeError):
                continue
            found[result.job] = result
        return found

    def append(self, result: Result, sources: str = "") -> None:
        """Add a result, with the digest of the sources that it ran with."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(replace(result, sources=sources))) + "\n")
