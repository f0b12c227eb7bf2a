"""The programs to score: every planted fault, every fixed twin and every healthy program, each with a key of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.faults.fault import Fault
from benchmarks.faults.healthy import PROGRAMS
from benchmarks.faults.planted import FAULTS
from benchmarks.faults.program import Program

Kind = Literal["planted", "fixed", "healthy"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A program to run.

    Attributes:
        kind: What it is.
        name: File and function, such as "contract.softmax_before_cross_entropy"; a twin has the name of its fault.
        code: Code of the rule that is to name it, or its fault; "" for a healthy program.
        stratum: Kind of mistake of the fault; "" for a healthy program.
        make: Builds the program.
        twin: Key of the fixed twin of a planted fault; "" where there is none.
    """

    kind: Kind
    name: str
    code: str = ""
    stratum: str = ""
    make: Callable[[], Program]
    twin: str = ""

    @property
    def key(self) -> str:
        """What tells the program from all others, in all processes."""
        return ":".join(part for part in (self.kind, self.name, self.code) if part)

    @property
    def path(self) -> Path:
        """The file that the program is written in."""
        file = sys.modules[self.make.__module__].__file__
        assert file is not None
        return Path(file)


def cases(faults: Sequence[Fault] = FAULTS, healthy: Sequence[Callable[[], Program]] = PROGRAMS) -> tuple[Case, ...]:
    """Return all programs. A twin that several faults share is there once."""
    found: dict[str, Case] = {}
    for case in (*_of_faults(faults), *(Case(kind="healthy", name=_name(make), make=make) for make in healthy)):
        if case.key in found:
            raise ValueError(f"two programs have the key {case.key!r}")
        found[case.key] = case
    return tuple(found.values())


def _of_faults(faults: Sequence[Fault]) -> Iterator[Case]:
    twins: dict[Callable[[], Program], Case] = {}
    for fault in faults:
        if fault.fixed not in twins:
            twins[fault.fixed] = Case(kind="fixed", name=_name(fault.make), code=fault.code, stratum=fault.kind, make=fault.fixed)
    for fault in faults:
        twin = twins[fault.fixed].key
        yield Case(kind="planted", name=_name(fault.make), code=fault.code, stratum=fault.kind, make=fault.make, twin=twin)
    yield from twins.values()


def _name(make: Callable[[], Program]) -> str:
    return f"{make.__module__.rpartition('.')[2]}.{make.__name__}"


def selected(all_cases: Sequence[Case], codes: Sequence[str] = (), names: Sequence[str] = ()) -> tuple[Case, ...]:
    """Return a part of the programs.

    Args:
        all_cases: All of them.
        codes: Codes or beginnings of codes: faults of these rules and their twins; empty for all programs.
        names: Parts of names; empty for all.
    """
    found = [case for case in all_cases if not codes or (case.code and case.code.startswith(tuple(codes)))]
    return tuple(case for case in found if not names or any(name in case.name for name in names))
