"""The score: pure functions from results to counts. Runs are counted, not findings: a fault with many places is said once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from benchmarks.faults.bounds import quantile, upper_bound
from benchmarks.faults.result import Result, Said

# What a tool says -> codes of the rules whose fault it names.
Names = Mapping[str, frozenset[str]]


@dataclass(frozen=True, kw_only=True)
class Recall:
    """What became of runs with a planted fault. A run that broke counts as one in which nothing was said.

    Attributes:
        num_faults: Programs.
        num_runs: Runs of them.
        detected: Runs with any warning or error, or with the expected word of a rule that never says more than an info.
        named: Runs in which the fault was named, at any severity.
        first: Runs in which its name came first.
        alone: Runs in which it was named and no other warning or error was given.
        nameable: Runs whose fault the tool has a word for.
        steps: For each run in which it was named, the step at which it was.
    """

    num_faults: int
    num_runs: int
    detected: int
    named: int
    first: int
    alone: int
    nameable: int
    steps: tuple[int, ...]

    @property
    def median(self) -> int | None:
        """Step by which half of the faults that were named had been named."""
        return quantile(self.steps, 0.5)

    @property
    def late(self) -> int | None:
        """Step by which 90 % of the faults that were named had been named."""
        return quantile(self.steps, 0.9)


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """Warnings and errors in runs that deserve none. Runs that broke are left out.

    Attributes:
        num_programs: Programs.
        num_runs: Runs of them.
        alarmed_programs: Programs with an alarm in at least one run.
        alarmed_runs: Runs with at least one alarm.
        spoken_runs: Runs in which anything was said, infos included.
    """

    num_programs: int
    num_runs: int
    alarmed_programs: int
    alarmed_runs: int
    spoken_runs: int

    @property
    def bound(self) -> float:
        """95 % upper bound of the share of runs, were all runs independent."""
        return upper_bound(self.alarmed_runs, self.num_runs)

    @property
    def program_bound(self) -> float:
        """95 % upper bound of the share of programs with an alarm: seeds of one program are not independent."""
        return upper_bound(self.alarmed_programs, self.num_programs)

    @classmethod
    def of(cls, results: Iterable[Result], tool: str, matters: Callable[[Said], bool] = lambda said: True) -> Self:
        """Count the alarms of a tool.

        Args:
            results: Runs that deserve none.
            tool: The tool.
            matters: Which of its words are looked at.
        """
        ran = [result for result in results if result.status == "ok"]
        words = {result.job: [said for said in result.by(tool) if matters(said)] for result in ran}
        alarmed = [result for result in ran if any(said.is_loud for said in words[result.job])]
        return cls(
            num_programs=len({result.case for result in ran}),
            num_runs=len(ran),
            alarmed_programs=len({result.case for result in alarmed}),
            alarmed_runs=len(alarmed),
            spoken_runs=sum(bool(words[result.job]) for result in ran),
        )


def recall(results: Sequence[Result], tool: str, names: Names, infos: frozenset[str]) -> Recall:
    """Count what became of runs with a planted fault.

    Args:
        results: The runs.
        tool: The tool that spoke.
        names: What it says -> codes of the rules whose fault it names.
        infos: Codes of the rules that never say more than an info.
    """
    words = frozenset[str]().union(*names.values())
    detected = named = first = alone = 0
    steps: list[int] = []
    for result in results:
        said = result.by(tool)
        right = [each for each in said if result.code in names.get(each.code, ())]
        others = [each for each in said if each not in right and each.is_loud]
        detected += is_detected(said, result.code, names, infos)
        if right:
            named += 1
            first += said[0] in right
            alone += not others
            steps.append(min(each.step for each in right))
    return Recall(
        num_faults=len({result.case for result in results}),
        num_runs=len(results),
        detected=detected,
        named=named,
        first=first,
        alone=alone,
        nameable=sum(result.code in words for result in results),
        steps=tuple(steps),
    )


def is_detected(said: Sequence[Said], code: str, names: Names, infos: frozenset[str]) -> bool:
    """Return whether a tool noticed anything: it warned, or said the expected word where that is never more than an info."""
    return any(each.is_loud or (code in infos and code in names.get(each.code, ())) for each in said)


def told_apart(results: Sequence[Result], tool: str, names: Names, infos: frozenset[str]) -> tuple[int, int]:
    """Count pairs of a fault and its twin, seed by seed.

    Returns:
        Pairs of which the tool noticed the fault and nothing in the twin, and all pairs whose twin ran to its end.
    """
    twins = {(result.case, result.seed): result for result in results if result.status == "ok"}
    pairs = [(result, twins[result.twin, result.seed]) for result in results if (result.twin, result.seed) in twins]
    hits = [
        is_detected(faulty.by(tool), faulty.code, names, infos) and not is_detected(fixed.by(tool), faulty.code, names, infos)
        for faulty, fixed in pairs
    ]
    return sum(hits), len(pairs)


def grouped(results: Iterable[Result], key: Callable[[Result], str]) -> dict[str, list[Result]]:
    """Return results by a key, in the order of the keys."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(key(result), []).append(result)
    return dict(sorted(found.items()))


@dataclass(frozen=True, kw_only=True)
class CrossTalk:
    """All that was said of one program.

    Attributes:
        name: The program.
        code: The rule that is to name it, or its fault; "" for a healthy program.
        num_runs: Its runs.
        loud: Code -> runs in which it warned.
        infos: Code -> runs in which it said no more than an info.
    """

    name: str
    code: str
    num_runs: int
    loud: Mapping[str, int]
    infos: Mapping[str, int]


def cross_talk(results: Iterable[Result], tool: str) -> list[CrossTalk]:
    """Return what was said of each program, in the order of the rules that are to name it."""
    found = []
    for runs in grouped(results, lambda result: f"{result.code} {result.name}").values():
        loud, infos = Counter[str](), Counter[str]()
        for run in runs:
            warned = {said.code for said in run.by(tool) if said.is_loud}
            loud.update(warned)
            infos.update({said.code for said in run.by(tool)} - warned)
        found.append(CrossTalk(name=runs[0].name, code=runs[0].code, num_runs=len(runs), loud=loud, infos=infos))
    return found
