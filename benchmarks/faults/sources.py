"""What a result depends on, as a digest: a result stays valid while that does not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.faults.case import Case
from benchmarks.faults.result import Job, Suite

ROOT = Path(__file__).parents[2]
ZOO = Path(__file__).parent
SHARED = tuple(ZOO / f"{name}.py" for name in ("data", "fault", "nets", "program"))  # by all programs
TOOLS: dict[Suite, Path] = {"guard": ROOT / "lightning_nnguard", "baselines": ZOO / "baselines"}


def digests(jobs: Iterable[Job], by_key: Mapping[str, Case]) -> dict[Job, str]:
    """Return the digest of each run: of the tool, of the file of its program, and of what all programs share."""
    places = {job: (TOOLS[job[0]], by_key[job[1]].path) for job in jobs}
    known = {place: _digest((*place, *SHARED)) for place in set(places.values())}
    return {job: known[place] for job, place in places.items()}


def _digest(places: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in sorted(path for place in places for path in ([place] if place.is_file() else place.rglob("*.py"))):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]
