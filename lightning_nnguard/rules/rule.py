"""The base of all rules, and the thresholds they are made of."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar, cast, get_type_hints

from lightning_nnguard.finding import Evidence, Finding, Severity
from lightning_nnguard.observation import Seen

SeenT = TypeVar("SeenT", bound=Seen)


def threshold(default: float, meaning: str, *, low: float = 0.0, high: float = float("inf")) -> float:
    """Declare a threshold of a rule: a dataclass field that knows its meaning and its range.

    Args:
        default: Default value.
        meaning: What it bounds, with its unit, as one phrase.
        low: Smallest valid value.
        high: Largest valid value.
    """
    metadata = {"meaning": meaning, "low": low, "high": high}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """One threshold of a rule, for `nnguard explain`, the docs and the policy.

    Attributes:
        name: Field name, such as "max_dead_fraction".
        value: Value in force.
        meaning: What it bounds.
        low: Smallest valid value.
        high: Largest valid value.
    """

    name: str
    value: float
    meaning: str
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Rule(ABC, Generic[SeenT]):
    """One fault that the guard can name. Rules are pure: they judge one observation and remember nothing.

    The annotation of `check` is the subscription: the probe collects only what the selected rules ask for. The docstring is the
    rule's page: its sections are printed by `nnguard explain` and become the documentation.

    Class attributes:
        code: Permanent code, "NNG" and three digits; the first digit is the family.
        name: The fault's name; equals the class name and the file name, in their spelling.
        severity: Severity of its findings.
        why: Why it matters, one line.
        fix: What to change, one line.
        patience: Observations in a row that must show the fault before it is said.
        gated: Whether it is INFO while the run is learning.
        explained_by: Codes of the causes that silence this symptom at the same time or before.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    why: ClassVar[str]
    fix: ClassVar[str]
    patience: ClassVar[int] = 1
    gated: ClassVar[bool] = False
    explained_by: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for each in self.thresholds():
            valid_type = isinstance(each.value, int | float) and not isinstance(each.value, bool)
            if not valid_type or not each.low <= each.value <= each.high:
                raise ValueError(
                    f"thresholds[{self.name!r}][{each.name!r}] is {each.value!r}; "
                    f"it must be a number from {each.low:g} to {each.high:g} ({each.meaning})"
                )

    @abstractmethod
    def check(self, seen: SeenT) -> Finding | None:
        """Judge one observation; return a finding, or None when it is healthy."""

    def is_gated(self, seen: SeenT) -> bool:
        """Return whether a finding about this observation is INFO while the run is learning; a rule may judge by its size."""
        return self.gated

    def thresholds(self) -> Iterator[Threshold]:
        """Iterate over the rule's thresholds, in the order of their declaration."""
        for each in dataclasses.fields(self):
            yield Threshold(name=each.name, value=getattr(self, each.name), **each.metadata)

    def finding(
        self, seen: Seen, message: str, *, evidence: Evidence, severity: Severity | None = None, where: str | None = None
    ) -> Finding:
        """Return this rule's finding about an observation.

        Args:
            seen: The observation that shows the fault.
            message: Measured number, threshold and sample size, in one line.
            evidence: The same as data.
            severity: Severity, if not the rule's own.
            where: Place, if not the observation's own.
        """
        return Finding(
            code=self.code,
            name=self.name,
            severity=self.severity if severity is None else severity,
            where=seen.where if where is None else where,
            step=seen.step,
            epoch=seen.epoch,
            rank=seen.rank,
            message=message,
            why=self.why,
            fix=self.fix,
            evidence=evidence,
        )


def subscription(rule: type[Rule[SeenT]]) -> type[SeenT]:
    """Return the kind of observation that a rule's `check` is annotated with."""
    return cast("type[SeenT]", get_type_hints(rule.check)["seen"])


def family(rule: type[Rule[Seen]]) -> str:
    """Return the family of a rule: the name of the folder its file lies in."""
    return rule.__module__.split(".")[-2]
