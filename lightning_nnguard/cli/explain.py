"""`nnguard explain`: print the page of a rule."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from lightning_nnguard.cli.errors import fail
from lightning_nnguard.observation import Seen
from lightning_nnguard.rules import Rule, all_rules
from lightning_nnguard.rules.page import markdown, page


def explain(rule: Annotated[str, typer.Argument(help="Code or name, such as NNG501 or update-too-large.")]) -> None:
    """Print what a rule checks, why it matters, how to fix it, its thresholds, and how to silence it."""
    names = {each.code: each.name for each in all_rules()}
    text = markdown(page(find(rule)), refer=lambda code: f"{code} {names[code]}" if code in names else code)
    Console().print(Markdown(text))


def find(query: str) -> type[Rule[Seen]]:
    """Return the rule with this code or name, in any case; exit with an error that lists similar ones if there is none."""
    known = {key: rule for rule in all_rules() for key in (rule.code.lower(), rule.name)}
    wanted = query.lower().replace("_", "-")
    if wanted in known:
        return known[wanted]
    digits = wanted[:3] + wanted[3:].translate(str.maketrans("oil", "011"))  # letters that look like them
    near = [digits] if digits in known else get_close_matches(wanted, known)
    near = near or [name for name in known if wanted and wanted in name]
    rules = sorted({f"{known[name].code} {known[name].name}" for name in near})
    fail(f"unknown rule {query!r}; {'did you mean ' + ', '.join(rules) + '?' if rules else 'see `nnguard rules`'}")
