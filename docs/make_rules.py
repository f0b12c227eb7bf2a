"""Write the rules' pages from their docstrings: `python docs/make_rules.py`, or `make docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lightning_nnguard import rules
from lightning_nnguard.cli.families import families
from lightning_nnguard.rules.page import Page, markdown, page

FOLDER = Path(__file__).parent / "rules"
NOTE = "<!-- Made from the rule's docstring by docs/make_rules.py: edit that, then run `make docs`. -->\n\n"


def pages() -> dict[str, str]:
    """Return the content of each file, by file name."""
    every = [page(rule) for rule in rules.all_rules()]
    files = {each.code: each for each in every}

    def refer(code: str) -> str:
        return f"[{code} {files[code].name}]({files[code].file_name})" if code in files else code

    return {"README.md": NOTE + index(every), **{each.file_name: NOTE + markdown(each, refer=refer) for each in every}}


def index(every: list[Page]) -> str:
    """Return the table of all rules, family by family."""
    return "\n\n".join(["# Rules", INTRODUCTION, *_tables(every)]) + "\n"


def _tables(every: list[Page]) -> Iterator[str]:
    for family in families(Path(rules.__path__[0])).values():
        rows = [_row(each) for each in every if each.family == family.name]
        if rows:
            table = "\n".join(["| code | name | severity | the fault |", "|---|---|---|---|", *rows])
            yield f"## NNG{family.digit}xx {family.name}\n\n{family.title}.\n\n{table}"


def _row(page: Page) -> str:
    severity = f"{page.severity}, gated" if page.gated else page.severity
    return f"| [{page.code}]({page.file_name}) | {page.name} | {severity} | {page.summary} |"


INTRODUCTION = """\
One rule names one fault. Codes and names are permanent. `nnguard rules` prints this list, `nnguard explain CODE` a rule's page.

**Severity.** An *error* is provable: a contract is broken. A *warning* is statistical, and has held for a while. An *info* is a
matter of style or efficiency. A *gated* rule is about a symptom: it warns only while the run is not learning, and is an info
otherwise."""


def main() -> None:
    """Write all pages and delete those of rules that are gone."""
    FOLDER.mkdir(exist_ok=True)
    wanted = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
