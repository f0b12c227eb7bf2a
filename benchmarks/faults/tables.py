"""The score as tables: rows of text, a heading first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.faults.result import GUARD, Result
from benchmarks.faults.score import Alarms, CrossTalk, Names, Recall, cross_talk, grouped, recall, told_apart
from benchmarks.faults.stratum import SHARE, STRATA, Stratum

Rows = list[list[str]]


@dataclass(frozen=True, kw_only=True)
class RuleFacts:
    """What the tables say of a rule.

    Attributes:
        name: Its name.
        family: Its family.
        is_info: Whether it never says more than an info.
    """

    name: str
    family: str
    is_info: bool


Rules = Mapping[str, RuleFacts]
RECALL_HEAD = ["faults", "runs", "detected", "named", "named first", "named alone", "median step", "90 % by step"]


def infos(rules: Rules) -> frozenset[str]:
    """Return the codes of the rules that never say more than an info."""
    return frozenset(code for code, rule in rules.items() if rule.is_info)


def own_names(rules: Rules) -> Names:
    """Return what the guard's codes name: themselves."""
    return {code: frozenset({code}) for code in rules}


def _share(count: int, total: int) -> str:
    return f"{count}/{total} ({100 * count / total:.0f} %)" if total else "0/0"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _cells(found: Recall) -> list[str]:
    counts = (found.detected, found.named, found.first, found.alone)
    return [str(found.num_faults), str(found.num_runs), *(_share(count, found.num_runs) for count in counts), *_steps(found)]


def _steps(found: Recall) -> list[str]:
    return ["" if step is None else str(step) for step in (found.median, found.late)]


def total_rows(results: Sequence[Result], rules: Rules) -> Rows:
    """Return the recall of the guard by family and in total."""
    faulty = _of(results, "guard", "planted")
    by_family = grouped(faulty, lambda result: f"{result.code[:4]}xx {rules[result.code].family}")
    rows = [[family, *_cells(_recall(runs, rules))] for family, runs in by_family.items()]
    return [["", *RECALL_HEAD], *rows, ["all", *_cells(_recall(faulty, rules))]]


def stratum_rows(results: Sequence[Result], rules: Rules) -> Rows:
    """Return the recall of the guard by kind of mistake, and of all, each kind counted as common as it is among real bugs."""
    faulty = grouped(_of(results, "guard", "planted"), lambda result: result.stratum)
    found = {stratum: _recall(faulty.get(stratum, []), rules) for stratum in STRATA}
    rows = [["", "share of real bugs", *RECALL_HEAD]]
    rows += [[stratum, _percent(SHARE[stratum]), *_cells(score)] for stratum, score in found.items()]
    counts = (weighted(found, count) for count in ("detected", "named", "first", "alone"))
    shares = ["" if share is None else _percent(share) for share in counts]
    return [*rows, ["as common as in real bugs", _percent(1), "", "", *shares, "", ""]]


def weighted(found: Mapping[Stratum, Recall], count: str) -> float | None:
    """Return a share of the runs as it would be if each stratum were as common as among real bugs; None when one has no run."""
    if not all(score.num_runs for score in found.values()):
        return None
    return sum(SHARE[stratum] * getattr(score, count) / score.num_runs for stratum, score in found.items())


def rule_rows(results: Sequence[Result], rules: Rules) -> Rows:
    """Return the recall of each rule that has a planted fault here or spoke where it should not, and how often it did."""
    faulty, healthy, fixed = (_of(results, "guard", kind) for kind in ("planted", "healthy", "fixed"))
    by_code = grouped(faulty, lambda result: result.code)
    rows = [
        ["", "faults", "runs", "detected", "named", "first", "alone", "median step", "90 % by", "alarms, healthy", "alarms, twins"]
    ]
    for code, rule in rules.items():
        score = _recall(by_code.get(code, []), rules)
        alarms = [Alarms.of(runs, GUARD, lambda said, code=code: said.code == code) for runs in (healthy, fixed)]  # type: ignore[misc]
        if score.num_runs or any(each.alarmed_runs for each in alarms):
            counts = (score.detected, score.named, score.first, score.alone)
            cells = [f"{each.alarmed_runs}/{each.num_runs}" for each in alarms]
            head = [f"{code} {rule.name}", str(score.num_faults), str(score.num_runs)]
            rows.append([*head, *map(str, counts), *_steps(score), *cells])
    return rows


def alarm_rows(results: Sequence[Result], tools: Sequence[str] = (GUARD,)) -> Rows:
    """Return the false alarms of each tool in healthy runs and in those of fixed twins."""
    rows = [["", "runs", "with an alarm", "95 % bound", "programs", "with an alarm", "95 % bound", "runs with any word"]]
    for tool in tools:
        for kind, label in (("healthy", "healthy programs"), ("fixed", "fixed twins")):
            found = Alarms.of(_of(results, _suite(tool), kind), tool)
            runs = [str(found.num_runs), _share(found.alarmed_runs, found.num_runs), _percent(found.bound)]
            programs = [str(found.num_programs), _share(found.alarmed_programs, found.num_programs), _percent(found.program_bound)]
            rows.append([f"{tool}: {label}", *runs, *programs, str(found.spoken_runs)])
    return rows


def tool_rows(results: Sequence[Result], tools: Mapping[str, Names], rules: Rules) -> Rows:
    """Return the recall of each tool on the same faults; `tools` are the words of each."""
    head = ["runs", "detected", "told apart from its twin", "named", "named, of those it has a word for", "named first"]
    rows = [["", *head, "median step", "90 % by step"]]
    for tool, names in tools.items():
        found = recall(_of(results, _suite(tool), "planted"), tool, names, infos(rules))
        apart = told_apart([result for result in results if result.suite == _suite(tool)], tool, names, infos(rules))
        counts = [_share(found.detected, found.num_runs), _share(*apart), _share(found.named, found.num_runs)]
        counts += [_share(found.named, found.nameable), _share(found.first, found.num_runs)]
        rows.append([tool, str(found.num_runs), *counts, *_steps(found)])
    return rows


def cross_talk_rows(results: Sequence[Result]) -> Rows:
    """Return which rules spoke of which fault; infos are in brackets, the number of runs follows where it is not all of them."""
    rows = [["fault", "named by", "who spoke"]]
    for each in cross_talk(_of(results, "guard", "planted"), GUARD):
        quiet = [f"({_times(code, count, each.num_runs)})" for code, count in sorted(each.infos.items())]
        rows.append([each.name, each.code, ", ".join([*_loud(each), *quiet]) or "nobody"])
    return rows


def false_alarm_rows(results: Sequence[Result]) -> Rows:
    """Return the programs on which the guard warned without reason, and the rules that did."""
    rows = [["program", "", "who warned"]]
    for kind, label in (("healthy", "healthy"), ("fixed", "fixed twin")):
        talks = cross_talk(_of(results, "guard", kind), GUARD)
        rows += [[each.name, label, ", ".join(_loud(each))] for each in talks if each.loud]
    return rows


def _loud(talk: CrossTalk) -> list[str]:
    return [_times(code, count, talk.num_runs) for code, count in sorted(talk.loud.items())]


def broken_rows(results: Sequence[Result]) -> Rows:
    """Return the runs that did not run to their end, and all notes but those of the guard that something is compiled."""
    rows = [["run", "seed", "what happened"]]
    for result in results:
        lines = [note for note in result.notes if not note.startswith("code is compiled")]
        if result.status != "ok":
            lines.append(f"{result.status}: {(result.error.strip().splitlines() or [''])[-1]}")
        rows += [[f"{result.suite} {result.case}", str(result.seed), line] for line in lines]
    return [[cell.replace("|", "/") for cell in row] for row in rows]


def _recall(runs: Sequence[Result], rules: Rules) -> Recall:
    return recall(runs, GUARD, own_names(rules), infos(rules))


def _of(results: Sequence[Result], suite: str, kind: str) -> list[Result]:
    return [result for result in results if result.suite == suite and result.kind == kind]


def _suite(tool: str) -> str:
    return "guard" if tool == GUARD else "baselines"


def _times(code: str, count: int, num_runs: int) -> str:
    return code if count == num_runs else f"{code} {count}/{num_runs}"
