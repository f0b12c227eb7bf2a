"""The text of a new rule and of its test. Each line keeps its layout whatever the names are, so that both are well formatted."""

from __future__ import annotations

import re
from string import Template

from lightning_nnguard.cli.measures import measures, observations

RULE = Template('''\
"""$code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import $sees
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class $class_name(Rule[$sees]):
    """TODO: $words, as one noun phrase.

    What it checks:
        TODO: `$measure` against `max_$measure`. Say what is measured, and over which samples.

    Why it matters:
        TODO: what goes wrong in a run that shows this.

    How to fix:
        TODO: what to change, most likely cure first.

    When it is harmless:
        TODO: where it is expected, and whether that is recognised here.

    References:
        TODO: the source of the idea and of the threshold.
    """

    code: ClassVar[str] = "$code"
    name: ClassVar[str] = "$name"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "TODO: why it matters, in one line"
    fix: ClassVar[str] = "TODO: what to change, in one line"

    max_$measure: float = threshold(1e6, "TODO: largest healthy $measure, with its unit")

    def check(self, seen: $sees) -> Finding | None:
        """Judge `$measure` of one observation."""
        measured = $measured
        if measured <= self.max_$measure:
            return None
        return self.finding(
            seen,
            f"$measure is {measured:g} (threshold {self.max_$measure:g})",
            evidence={
                "$measure": measured,
                "max_$measure": self.max_$measure,
            },
        )
''')

TEST = Template('''\
"""$code."""

from __future__ import annotations

from lightning_nnguard.rules.$family.$module import $class_name
from tests.builders import $builders

RULE = $class_name()


def test_fires_and_says_the_number() -> None:
    speaks(RULE, $build$measure=$fault), "$measure is 2e+06 (threshold 1e+06)")


def test_is_silent_when_healthy() -> None:
    silent(RULE, $healthy)


def test_the_boundary_is_healthy() -> None:
    silent(RULE, $build$measure=$boundary))
''')

# Of tests/builders.py, where the name is not that of the observation.
BUILDERS = {"ModeSeen": "dropout", "NonFiniteSeen": "non_finite"}


def start(name: str, sees: str, measure: str) -> dict[str, str]:
    """Return the parts of both texts that follow from the rule's name and from what it compares.

    Args:
        name: The rule's name.
        sees: Name of the observation.
        measure: One of its `measures`.
    """
    series = measures(observations()[sees])[measure] is tuple
    builder = BUILDERS.get(sees, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", sees.removesuffix("Seen")).lower())
    argument = '"input"' if builder == "non_finite" else ""
    return {
        "words": name.replace("-", " "),
        "class_name": "".join(word.capitalize() for word in name.split("-")),
        "sees": sees,
        "measure": measure,
        "measured": f"max(seen.{measure}, default=0.0)" if series else f"seen.{measure}",
        "builders": ", ".join(sorted([builder, "silent", "speaks"])),
        "healthy": f"{builder}({argument})",
        "build": f"{builder}({argument}, " if argument else f"{builder}(",
        "fault": "(2e6,)" if series else "2e6",
        "boundary": f"(RULE.max_{measure},)" if series else f"RULE.max_{measure}",
    }
