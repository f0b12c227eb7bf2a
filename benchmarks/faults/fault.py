"""A planted fault: a program that has it, its twin that does not, and what the guard has to say of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.faults.program import Program
from benchmarks.faults.stratum import Stratum, stratum_of


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A program with a planted fault.

    Attributes:
        make: Builds the program.
        fixed: Builds its twin: the same program after the cure, on which nothing may be said.
        code: The rule that names the fault.
        before: Step by which the fault must be said at the latest.
        where: The place that it must name.
        line: A word of the source line that its message must quote; "" for none.
        others: Codes of the other warnings and errors that `NNGuard` gives.
        stratum: Kind of mistake; None stands for the usual one of the rule.
    """

    make: Callable[[], Program]
    fixed: Callable[[], Program]
    code: str
    before: int
    where: str = ""
    line: str = ""
    others: tuple[str, ...] = ()
    stratum: Stratum | None = None

    @property
    def kind(self) -> Stratum:
        """Kind of mistake: its own stratum, or the usual one of its rule."""
        return self.stratum or stratum_of(self.code)
