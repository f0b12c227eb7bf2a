"""`nnguard rules`: list what can be said about a run."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lightning_nnguard.cli.errors import fail
from lightning_nnguard.rules import all_rules
from lightning_nnguard.rules.page import Page, page

PIPED_WIDTH = 160  # rich takes 80 where there is no terminal, which would break the summaries


class Format(StrEnum):
    """How to print the list."""

    text = "text"
    json = "json"


def rules(
    family: Annotated[str | None, typer.Option(help="Only the rules of this family, such as 'updates'.")] = None,
    output: Annotated[Format, typer.Option("--format", help="A table to read, or JSON.")] = Format.text,
) -> None:
    """List the rules: code, name, severity, gate, family and summary."""
    pages = [page(rule) for rule in all_rules()]
    if family is not None:
        families = sorted({each.family for each in pages})
        if family not in families:
            fail(f"unknown family {family!r}; families are {', '.join(families)}")
        pages = [each for each in pages if each.family == family]
    if output is Format.json:
        typer.echo(json.dumps([as_json(each) for each in pages], indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table(pages))


def as_json(page: Page) -> dict[str, object]:
    """Return what the list says of one rule, as plain JSON types."""
    keys = ("code", "name", "severity", "gated", "family", "summary", "sees", "patience", "explained_by", "fix")
    defaults = {threshold.name: threshold.value for threshold in page.thresholds}
    return {**{key: value for key, value in asdict(page).items() if key in keys}, "thresholds": defaults}


def table(pages: list[Page]) -> Table:
    """Return the table of some rules."""
    result = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("code", "name", "severity", "gated", "family"):
        result.add_column(heading, no_wrap=True)
    result.add_column("summary")
    colours = {"error": "red", "warning": "yellow", "info": "cyan"}
    for each in pages:
        severity = f"[{colours[each.severity]}]{each.severity}[/]"
        result.add_row(each.code, each.name, severity, "gated" if each.gated else "", each.family, each.summary)
    return result
