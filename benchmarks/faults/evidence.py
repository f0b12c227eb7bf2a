"""Writes the score into the documentation: tables for readers, and one small file for the pages of the rules."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.result import GUARD, Result
from benchmarks.faults.score import Alarms, recall
from benchmarks.faults.tables import Rules, infos, own_names

BEGIN, END = "<!-- evidence -->", "<!-- end of evidence -->"


def between_markers(page: str, text: str) -> str:
    """Return a page with the part between its markers replaced.

    Raises:
        ValueError: If the page does not hold both markers, in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page must hold {BEGIN} and, later, {END}")
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"


def rule_evidence(results: Sequence[Result], rules: Rules) -> dict[str, dict[str, Any]]:
    """Return what was measured of each rule: code -> counts. Rules without a planted fault have none."""
    ran = [result for result in results if result.suite == "guard"]
    found: dict[str, dict[str, Any]] = {}
    for code in rules:
        faulty = [result for result in ran if result.kind == "planted" and result.code == code]
        if not faulty:
            continue
        score = recall(faulty, GUARD, own_names(rules), infos(rules))
        healthy, fixed = (
            Alarms.of((result for result in ran if result.kind == kind), GUARD, lambda said, code=code: said.code == code)  # type: ignore[misc]
            for kind in ("healthy", "fixed")
        )
        found[code] = {
            "num_faults": score.num_faults,
            "num_seeds": len({result.seed for result in faulty}),
            "num_faulty_runs": score.num_runs,
            "named": score.named,
            "median_step": score.median,
            "num_healthy_programs": healthy.num_programs,
            "num_healthy_runs": healthy.num_runs,
            "false_alarms": healthy.alarmed_runs,
            "false_alarm_bound": round(healthy.bound, 5),
            "healthy_runs_with_a_word": healthy.spoken_runs,
            "num_fixed_runs": fixed.num_runs,
            "fixed_alarms": fixed.alarmed_runs,
        }
    return found


def write_json(path: Path, evidence: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what was measured of each rule. There is no date in it, so the same figures give the same file."""
    path.write_text(json.dumps(evidence, indent=2, sort_keys=True) + "\n", "utf-8")
