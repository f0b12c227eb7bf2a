"""A rule's page: what its docstring and fields say, for `nnguard explain` and the documentation."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lightning_nnguard.observation import Seen
from lightning_nnguard.rules.rule import Rule, Threshold, family, subscription

HEADING = re.compile(r"([A-Z][A-Za-z ]*):(?:\s+(\S.*))?")


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a rule's docstring.

    Attributes:
        title: Heading, such as "What it checks".
        text: Body, unindented.
    """

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that is to be said about one rule.

    Attributes:
        code: The rule's code.
        name: The rule's name.
        family: Folder of the rule, such as "updates".
        severity: Name of its severity.
        gated: Whether it is only informative while the run is learning.
        patience: Observations in a row that must show the fault.
        explained_by: Codes of the causes that silence it, sorted.
        sees: Name of the observation it judges.
        summary: First line of its docstring.
        sections: Sections of its docstring, in order.
        fix: What to change, one line.
        thresholds: Its thresholds with their defaults.
    """

    code: str
    name: str
    family: str
    severity: str
    gated: bool
    patience: int
    explained_by: tuple[str, ...]
    sees: str
    summary: str
    sections: tuple[Section, ...]
    fix: str
    thresholds: tuple[Threshold, ...]

    @property
    def file_name(self) -> str:
        """Name of the page's file in the documentation."""
        return f"{self.code}-{self.name}.md"


def page(rule: type[Rule[Seen]]) -> Page:
    """Return the page of a rule."""
    doc = inspect.cleandoc(rule.__doc__ or "")
    return Page(
        code=rule.code,
        name=rule.name,
        family=family(rule),
        severity=str(rule.severity),
        gated=rule.gated,
        patience=rule.patience,
        explained_by=tuple(sorted(rule.explained_by)),
        sees=subscription(rule).__name__,
        summary=doc.partition("\n")[0],
        sections=tuple(sections(doc)),
        fix=rule.fix,
        thresholds=tuple(rule().thresholds()),
    )


def sections(doc: str) -> Iterator[Section]:
    """Iterate over the sections of a docstring: an unindented heading with a colon, and the text below or behind it.

    Args:
        doc: Docstring without common indentation.
    """
    title, body = "", list[str]()
    for line in doc.splitlines():
        if heading := HEADING.fullmatch(line):
            yield from _section(title, body)
            title, body = heading[1], [heading[2] or ""]
        else:
            body.append(line)
    yield from _section(title, body)


def _section(title: str, body: list[str]) -> Iterator[Section]:
    if title:
        first, *rest = body
        text = "\n".join([first, inspect.cleandoc("\n" + "\n".join(rest))])
        yield Section(title=title, text=text.strip())


def markdown(page: Page, *, refer: Callable[[str], str] = str) -> str:
    """Return a page as Markdown.

    Args:
        page: The page.
        refer: How to write a reference to another rule, given its code.
    """
    blocks = [f"# {page.code} {page.name}", page.summary, "\n".join(_facts(page, refer))]
    blocks += [f"## {section.title}\n\n{section.text}" for section in page.sections]
    if page.thresholds:
        rows = ["| name | default | range | meaning |", "|---|---|---|---|", *map(_row, page.thresholds)]
        blocks.append("## Thresholds\n\n" + "\n".join(rows))
    blocks.append("## How to silence\n\n" + _silence(page))
    return "\n\n".join(blocks) + "\n"


def _facts(page: Page, refer: Callable[[str], str]) -> Iterator[str]:
    gate = "; info while the run is learning (gated)" if page.gated else ""
    yield f"- **Severity:** {page.severity}{gate}"
    yield f"- **Family:** {page.family}"
    yield f"- **Judges:** `{page.sees}`"
    if page.patience > 1:
        yield f"- **Patience:** speaks after {page.patience} observations in a row that show it"
    else:
        yield "- **Patience:** speaks at the first observation that shows it"
    if page.explained_by:
        yield f"- **Explained by:** {', '.join(map(refer, page.explained_by))}; silent when one of these has spoken"


def _row(threshold: Threshold) -> str:
    meaning = threshold.meaning.replace("|", r"\|")
    valid = f"from {threshold.low:g}" if threshold.high == math.inf else f"{threshold.low:g} to {threshold.high:g}"
    return f"| `{threshold.name}` | {threshold.value:g} | {valid} | {meaning} |"


def _silence(page: Page) -> str:
    code = f'NNGuard(ignore={{"{page.code}": "the reason, which is reported"}})'
    text = f"```python\n{code}\n```"
    if page.thresholds:
        first = page.thresholds[0]
        other = f'NNGuard(thresholds={{"{page.name}": {{"{first.name}": {first.value:g}}}}})'
        text += f"\n\nOr move a threshold:\n\n```python\n{other}\n```"
    return text
