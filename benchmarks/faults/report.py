"""The whole report: the tables that there are figures for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.faults import tables
from benchmarks.faults.result import GUARD, Result
from benchmarks.faults.score import Names
from benchmarks.faults.tables import Rows, Rules
from benchmarks.report import markdown


@dataclass(frozen=True, kw_only=True)
class Report:
    """Tables with their titles, in order."""

    tables: tuple[tuple[str, Rows], ...]

    def markdown(self) -> str:
        """Return all tables in Markdown."""
        return "\n\n".join(f"### {title}\n\n{markdown(rows)}" for title, rows in self.tables)


def report(results: Sequence[Result], rules: Rules, words: Mapping[str, Names]) -> Report:
    """Return the report.

    Args:
        results: All runs.
        rules: All rules.
        words: What the other tools say -> codes of the rules whose fault it names, by tool; empty where none was scored.
    """
    planted = any(result.kind == "planted" for result in results)
    found: list[tuple[str, Rows]] = []
    if planted:
        found += [
            ("Planted faults, by family", tables.total_rows(results, rules)),
            ("Planted faults, by kind of mistake", tables.stratum_rows(results, rules)),
        ]
    if any(result.kind != "planted" for result in results):
        found.append(("False alarms", tables.alarm_rows(results)))
    if words:
        everyone = {GUARD: tables.own_names(rules), **words}
        if planted:
            found.append(("Planted faults, other tools", tables.tool_rows(results, everyone, rules)))
        found.append(("False alarms, other tools", tables.alarm_rows(results, tuple(words))))
    if planted:
        found += [
            ("Rule by rule", tables.rule_rows(results, rules)),
            ("Who spoke of which fault", tables.cross_talk_rows(results)),
        ]
    alarms = tables.false_alarm_rows(results)
    if len(alarms) > 1:
        found.append(("Who warned without reason", alarms))
    broken = tables.broken_rows(results)
    if len(broken) > 1:
        found.append(("Runs that broke, and notes", broken))
    return Report(tables=tuple(found))
