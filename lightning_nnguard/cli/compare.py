"""`nnguard compare`: two runs side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lightning_nnguard.cli.errors import fail
from lightning_nnguard.logbook import Logbook, flat, read

Run = Annotated[Path, typer.Argument(help="A run's log folder, or its nnguard.jsonl.")]
Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How to print.")]

#: What differs between any two runs and tells nothing.
_OWN = {"event", "started"}
_ABSENT = "-"


def compare(first: Run, second: Run, output: Format = "text") -> None:
    """Show two runs side by side: what differs in their settings, their metrics by epoch, their findings, their cost."""
    try:
        runs = read(first), read(second)
    except ValueError as error:
        fail(str(error))
    if output == "json":
        typer.echo(json.dumps(comparison(*runs), ensure_ascii=False, indent=2))
    else:
        _print(*runs)


def comparison(first: Logbook, second: Logbook) -> dict[str, Any]:
    """Return what there is to compare, as JSON types: each value a pair (first run, second run), None where one has none."""
    return {
        "runs": [str(first.path), str(second.path)],
        "settings": differences(first.start, second.start),
        "metrics": metrics(first.epochs, second.epochs),
        "findings": findings(first.findings, second.findings),
        "guard_share": [first.summary.get("share"), second.summary.get("share")],
    }


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the settings that are not the same in both runs."""
    ours, theirs = flat(first), flat(second)
    names = [name for name in dict.fromkeys([*ours, *theirs]) if name not in _OWN]
    return {name: [ours.get(name), theirs.get(name)] for name in names if ours.get(name) != theirs.get(name)}


def metrics(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return each metric's last, lowest and highest value with their epochs, in both runs."""
    names = dict.fromkeys(name for run in (first, second) for epoch in run for name in epoch["metrics"])
    return {name: [_course(run, name) for run in (first, second)] for name in names}


def _course(epochs: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    values = [(each["metrics"][name], each["epoch"]) for each in epochs if isinstance(each["metrics"].get(name), int | float)]
    if not values:
        return {"last": None, "lowest": None, "highest": None, "values": []}
    lowest, highest = min(values), max(values, key=lambda pair: pair[0])
    return {"last": values[-1][0], "lowest": list(lowest), "highest": list(highest), "values": [value for value, _ in values]}


def findings(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any] | None]]:
    """Return the finding of each code in both runs, worst first."""
    ours, theirs = ({each["code"]: each for each in run} for run in (first, second))
    return {code: [ours.get(code), theirs.get(code)] for code in dict.fromkeys([*ours, *theirs])}


def _print(first: Logbook, second: Logbook) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=True)
    found = comparison(first, second)
    for letter, run in zip("AB", found["runs"], strict=True):
        console.print(f"{letter}: {run}", markup=False, highlight=False)
    sections = [
        ("settings that differ", {name: [_word(each) for each in pair] for name, pair in found["settings"].items()}),
        ("metric: last (lowest, highest)", {name: [_summary(each) for each in pair] for name, pair in found["metrics"].items()}),
        ("findings", {code: [_told(each) for each in pair] for code, pair in found["findings"].items()}),
        ("the guard's share of the time", {"share": [_share(each) for each in found["guard_share"]]}),
    ]
    for title, rows in sections:
        table = Table(title, "A", "B", box=box.SIMPLE_HEAD, pad_edge=False)
        for name, pair in rows.items():
            table.add_row(*(Text(each) for each in (name, *pair)))
        console.print(table if rows else f"\n{title}: none", markup=False, highlight=False)


def _word(value: object) -> str:
    return _ABSENT if value is None else str(value)


def _summary(course: Mapping[str, Any]) -> str:
    if course["last"] is None:
        return _ABSENT
    (low, low_epoch), (high, high_epoch) = course["lowest"], course["highest"]
    return f"{course['last']:.4g} ({low:.4g} at epoch {low_epoch}, {high:.4g} at epoch {high_epoch})"


def _told(finding: Mapping[str, Any] | None) -> str:
    if finding is None:
        return _ABSENT
    gone = "" if finding["recovered"] is None else f" to {finding['recovered']}"
    return f"{finding['severity']} {finding['name']}\n{finding['where'] or 'run'}, step {finding['step']}{gone}"


def _share(share: float | None) -> str:
    return _ABSENT if share is None else f"{100 * share:.1f} %"
