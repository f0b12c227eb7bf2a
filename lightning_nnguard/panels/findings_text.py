"""The list of findings as Markdown, with links to the charts of the sick layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import wrap
from urllib.parse import quote

from lightning_nnguard.finding import Finding
from lightning_nnguard.panels.chart import TextChart

TAG = "nnguard/findings"
MAX_ROWS = 100
MAX_PLACES = 10
MESSAGE_WIDTH = 44

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "~": "&#126;"}


def findings_text(findings: Sequence[Finding], step: int) -> TextChart:
    """Return all findings as one Markdown text: a table, worst first, then what each fault means and how to cure it."""
    return TextChart(tag=TAG, step=step, markdown=_markdown(sorted(findings, key=_rank), step))


def escape(text: str) -> str:
    """Return `text` as one line of Markdown that shows exactly these characters, whatever they are."""
    one_line = " ".join(text.split())
    return "".join(_ENTITIES.get(each) or (f"\\{each}" if each in r"\`*_{}[]()#+-.!" else each) for each in one_line)


def link(where: str) -> str:
    """Return a Markdown link from a place to its charts in TensorBoard's Time Series tab; "run" for the whole run."""
    if not where:
        return "run"
    layer = re.sub(r"\.(weight|bias)$", "", where)
    pattern = rf"/{re.escape(layer)}(\.(weight|bias))?(/|$)"
    return f"[{escape(where)}](?tagFilter={quote(pattern, safe='')}#timeseries)"


def _rank(finding: Finding) -> tuple[int, bool, int, str, str]:
    return -finding.severity, finding.recovered is not None, finding.step, finding.code, finding.where


def _markdown(findings: Sequence[Finding], step: int) -> str:
    if not findings:
        return f"**no findings** up to step {step:,}"
    count = f"{len(findings)} finding{'s' if len(findings) > 1 else ''}"
    lines = [
        f"**{count}** up to step {step:,}",
        "",
        "| severity | fault | where | since step | last seen | recovered | what |",
        "|:--|:--|:--|--:|--:|--:|:--|",
        *(_row(each) for each in findings[:MAX_ROWS]),
    ]
    if len(findings) > MAX_ROWS:
        lines += ["", f"and {len(findings) - MAX_ROWS} more, none of them worse"]
    return "\n".join([*lines, "", *_details(findings[:MAX_ROWS])])


def _row(finding: Finding) -> str:
    # lines are kept short: TensorBoard breaks words in other columns to make room for a long one
    place = link(finding.where)
    if len(finding.places) > 1:
        place = f"{len(finding.places)} places, worst<br>{place}"
    rank = "" if finding.rank is None else f"<br>rank {finding.rank}"
    severity = str(finding.severity) if finding.recovered is not None else f"**{finding.severity}**"
    cells = [
        severity,
        f"{finding.code}<br>{escape(finding.name)}",
        place + rank,
        f"{finding.step:,}<br>epoch {finding.epoch}",
        f"{finding.last_seen:,}",
        "" if finding.recovered is None else f"{finding.recovered:,}",
        "<br>".join(escape(line) for line in wrap(finding.message, MESSAGE_WIDTH)),
    ]
    return f"| {' | '.join(cells)} |"


def _details(findings: Sequence[Finding]) -> list[str]:
    lines: list[str] = []
    for (code, name, why, fix), places in _faults(findings).items():
        more = f", and {len(places) - MAX_PLACES} more" if len(places) > MAX_PLACES else ""
        lines += [
            f"#### {code} {escape(name)}",
            "",
            f"- **why**: {escape(why)}",
            f"- **fix**: {escape(fix)}",
            f"- **where**: {', '.join(link(place) for place in places[:MAX_PLACES])}{more}",
            f"- **more**: `nnguard explain {code}`",
            "",
        ]
    return lines


def _faults(findings: Sequence[Finding]) -> dict[tuple[str, str, str, str], list[str]]:
    """Return the places of each fault, each place once, in the order of the findings."""
    faults: dict[tuple[str, str, str, str], dict[str, None]] = {}
    for each in findings:
        places = faults.setdefault((each.code, each.name, each.why, each.fix), {})
        places.update(dict.fromkeys(each.places or (each.where,)))
    return {fault: list(places) for fault, places in faults.items()}
