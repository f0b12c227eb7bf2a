"""A published tool: its rules over a recording, and what its words mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.faults.baselines.recording import Records


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One alarm of a tool.

    Attributes:
        symptom: What it says, such as "vanishing-gradient".
        step: Step at which it could say so.
    """

    symptom: str
    step: int


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A published tool.

    Attributes:
        name: Its name.
        source: The paper or documentation that its rules and thresholds stand in.
        judge: Returns its alarms, in the order of the tool.
        names: Symptom -> codes of the rules whose faults it names rightly; generous where a symptom covers several.
    """

    name: str
    source: str
    judge: Callable[[Records], list[Alarm]]
    names: Mapping[str, frozenset[str]]


def first_of_each(alarms: list[Alarm]) -> list[Alarm]:
    """Return the first alarm of each symptom."""
    found: dict[str, Alarm] = {}
    for alarm in sorted(alarms, key=lambda alarm: alarm.step):
        found.setdefault(alarm.symptom, alarm)
    return list(found.values())


def words(**codes: str) -> dict[str, frozenset[str]]:
    """Return a vocabulary: symptom, with "_" for "-" -> three-digit codes, separated by blanks."""
    return {symptom.replace("_", "-"): frozenset(f"NNG{code}" for code in listed.split()) for symptom, listed in codes.items()}
