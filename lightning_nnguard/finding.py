"""A finding: one fault at one place, with its evidence, its reason and its cure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum

Evidence = Mapping[str, float | int | str]


class Severity(IntEnum):
    """How bad a finding is: INFO < WARNING < ERROR."""

    INFO = 10
    WARNING = 20
    ERROR = 30

    @classmethod
    def parse(cls, value: str | int | Severity, *, argument: str = "severity") -> Severity:
        """Return the severity that `value` names.

        Args:
            value: A `Severity`, its value, or its name in any case.
            argument: Name of the user's argument, for the error.

        Raises:
            ValueError: If `value` names no severity.
        """
        if isinstance(value, str) and value.upper() in cls.__members__:
            return cls[value.upper()]
        if isinstance(value, int) and not isinstance(value, bool) and value in set(cls):
            return cls(value)
        raise ValueError(f"{argument} is {value!r}; valid values are 'info', 'warning' and 'error'")

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One fault at one place. These fields are the contract with teams' tooling; they change with a major version only.

    Attributes:
        code: Permanent code, such as "NNG301".
        name: The fault's name, such as "dead-units".
        severity: How bad it is.
        where: Module path, parameter or metric name; "" is the whole run.
        step: Step of onset.
        epoch: Epoch of onset.
        message: What was measured, against which threshold, over how many samples.
        why: Why it matters, one line.
        fix: What to change, one line.
        evidence: Measured numbers, thresholds, sample sizes.
        rank: The one rank that saw it; None when all did or when it was seen in merged numbers.
        last_seen: Step at which it was last seen; -1 stands for `step`.
        recovered: Step at which it was gone again; None while it lasts.
        places: All places, worst first, when one finding speaks for several; otherwise empty.
    """

    code: str
    name: str
    severity: Severity
    where: str
    step: int
    epoch: int
    message: str
    why: str
    fix: str
    evidence: Evidence = field(default_factory=dict)
    rank: int | None = None
    last_seen: int = -1
    recovered: int | None = None
    places: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.last_seen < 0:
            object.__setattr__(self, "last_seen", self.step)

    @property
    def place(self) -> str:
        """Where it is, in words: the path, or how many places and the worst of them, or "run"."""
        if len(self.places) > 1:
            return f"{len(self.places)} places, worst {self.where}"
        return self.where or "run"

    @property
    def headline(self) -> str:
        """The line that stands alone in a log: code, name, place, step, epoch, rank and the measured numbers."""
        rank = "" if self.rank is None else f", rank {self.rank}"
        gone = "" if self.recovered is None else f", recovered at step {self.recovered}"
        return f"{self.code} {self.name}  [{self.place}, step {self.step}, epoch {self.epoch}{rank}{gone}]: {self.message}"

    @property
    def text(self) -> str:
        """The whole message: headline, why, fix, and how to learn more or to silence exactly this."""
        return (
            f"{self.headline}\n  why: {self.why}\n  fix: {self.fix}\n"
            f"  more: nnguard explain {self.code} · silence: NNGuard(ignore={{{self.code!r}: 'reason'}})"
        )

    def as_dict(self) -> dict[str, object]:
        """Return the finding as plain JSON types; the severity becomes its name."""
        return {**asdict(self), "evidence": dict(self.evidence), "severity": str(self.severity), "places": list(self.places)}

    def at(self, severity: Severity) -> Finding:
        """Return the same finding with another severity."""
        return self if severity is self.severity else replace(self, severity=severity)
