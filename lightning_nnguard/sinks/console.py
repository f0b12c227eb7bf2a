"""The terminal: warnings while the run goes on, a table at its end."""

from __future__ import annotations

import logging
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.panels.shorten import shorten
from lightning_nnguard.sinks.sink import RunSummary, Sink
from lightning_nnguard.warning import FindingError, FindingWarning

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Packages whose frames lie between a finding and the user's line that started the run.
_LIBRARIES = {"lightning_nnguard", "lightning", "pytorch_lightning", "lightning_fabric", "torch", "contextlib"}
_log = logging.getLogger("lightning_nnguard")

WIDE, MAX_WIDTH = 130, 180
_STYLES = {Severity.INFO: "dim", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}


class ConsoleSink(Sink):
    """The terminal. Findings come as Python warnings, so that `-W` and `warnings.filterwarnings` govern them.

    Args:
        console: Where the summary goes; standard error by default.
    """

    def __init__(self, *, console: Console | None = None) -> None:
        self._console = console

    def announce(self, finding: Finding) -> None:
        """Warn about a finding; one that is INFO or gone again goes to the logger "lightning_nnguard" instead.

        Raises:
            FindingError: If a warning filter makes errors of it; likewise `FindingWarning`.
        """
        if finding.recovered is not None:
            _log.info("%s", finding.headline)
        elif finding.severity == Severity.INFO:
            _log.info("%s", finding.text)
        else:
            category = FindingError if finding.severity == Severity.ERROR else FindingWarning
            warnings.warn(finding.text, category, stacklevel=_level_of_user())

    def finish(self, summary: RunSummary) -> None:
        """Print all findings and what was watched: a table on a terminal, plain lines elsewhere."""
        from rich.console import Console

        console = self._console or Console(stderr=True)
        findings = sorted(summary.findings, key=lambda finding: -finding.severity)
        lines = [_conclusion(summary), *(f"note: {note}" for note in summary.notes)]
        if findings and console.is_terminal:
            console.print(_table(findings, console.width))
        elif findings:
            lines[1:1] = [f"{finding.severity!s:<8} {finding.headline}" for finding in findings]
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True, emoji=False)


def _level_of_user() -> int:
    """Return the stack level, for `warnings.warn` in the caller, of the innermost frame of the user's own code."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    return level


def _conclusion(summary: RunSummary) -> str:
    counts = Counter(finding.severity for finding in summary.findings)
    plural = {Severity.ERROR: "errors", Severity.WARNING: "warnings", Severity.INFO: "infos"}
    found = [f"{counts[each]} {each if counts[each] == 1 else plural[each]}" for each in plural if counts[each]]
    watched = f"{_count(summary.num_rules, 'rule')} over {_count(summary.num_steps, 'step')} ({summary.num_sampled:,} sampled)"
    return f"nnguard: {', '.join(found) or 'no findings'}: {watched}, the guard took {100 * summary.share:.1f} % of the run"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(findings: Sequence[Finding], width: int) -> Table:
    """Return a table that fits: what was found stands beside the fault and its place, on a narrow terminal below them."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    wide = width >= WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=min(width, MAX_WIDTH))
    table.add_column("severity", no_wrap=True)
    table.add_column("since", justify="right", no_wrap=True)
    table.add_column("last seen", justify="right", no_wrap=True)
    for header in ("fault", "where") if wide else ():
        table.add_column(header)
    table.add_column("what", ratio=1)
    for finding in findings:
        last_seen = f"{finding.last_seen:,}" + ("" if finding.recovered is None else "\nrecovered")
        fault, where = f"{finding.code} {finding.name}", _where(finding, width // 4 if wide else max(12, width - 36))
        what = [fault.replace(" ", "\n", 1), where, finding.message] if wide else [f"{fault}\n{where}\n{finding.message}"]
        table.add_row(
            Text(str(finding.severity), _STYLES[finding.severity]),
            Text(f"{finding.step:,}"),
            Text(last_seen),
            *(Text(each) for each in what),
            style="dim" if finding.severity == Severity.INFO else "",
        )
    return table


def _where(finding: Finding, room: int) -> str:
    """Return the place in lines of at most `room` characters."""
    name = shorten(finding.where or "run", lambda each: len(each) <= room)
    rank = "" if finding.rank is None else f"\nrank {finding.rank}"
    return (f"{len(finding.places)} places, worst\n{name}" if len(finding.places) > 1 else name) + rank
