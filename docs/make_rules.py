"""Write the rules' pages from their docstrings and what was measured: `python docs/make_rules.py`, or `make docs`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from lightning_nnguard import rules
from lightning_nnguard.cli.families import families
from lightning_nnguard.rules.page import Page, markdown, page

FOLDER = Path(__file__).parent / "rules"
EVIDENCE = Path(__file__).parent / "evidence.json"
SILENCE = "## How to silence"
NOTE = "<!-- Made from the rule's docstring by docs/make_rules.py: edit that, then run `make docs`. -->\n\n"


def pages() -> dict[str, str]:
    """Return the content of each file, by file name."""
    every = [page(rule) for rule in rules.all_rules()]
    files = {each.code: each for each in every}

    def refer(code: str) -> str:
        return f"[{code} {files[code].name}]({files[code].file_name})" if code in files else code

    evidence = json.loads(EVIDENCE.read_text("utf-8")) if EVIDENCE.exists() else {}
    texts = {each.file_name: with_evidence(markdown(each, refer=refer), evidence.get(each.code)) for each in every}
    return {"README.md": NOTE + index(every), **{name: NOTE + text for name, text in texts.items()}}


def with_evidence(text: str, evidence: Mapping[str, float] | None) -> str:
    """Return a rule's page with a section on what was measured, if anything was.

    Args:
        text: The page.
        evidence: The rule's entry in `evidence.json`, which `python -m benchmarks.faults --markdown` writes.
    """
    if evidence is None:
        return text
    before, heading, after = text.partition(SILENCE)
    return f"{before}## Measured\n\n{measured(evidence)}\n\n{heading}{after}"


def measured(evidence: Mapping[str, float]) -> str:
    """Return what was measured of a rule, in one paragraph."""
    faults, seeds = (_count(evidence[f"num_{noun}s"], noun) for noun in ("fault", "seed"))
    named = f"Named in {evidence['named']} of {evidence['num_faulty_runs']} planted runs ({faults}, {seeds})"
    alarms = f"{_count(evidence['false_alarms'], 'alarm')} in {_count(evidence['num_healthy_runs'], 'healthy run')}"
    bound = f"{_count(evidence['num_healthy_programs'], 'program')}; 95 % bound {100 * evidence['false_alarm_bound']:.1f} %"
    twins = f"{evidence['fixed_alarms']} in {_count(evidence['num_fixed_runs'], 'run')} of cured programs"
    words = evidence["healthy_runs_with_a_word"] - evidence["false_alarms"]
    infos = f" In {words} of the healthy runs it gave an info, which is no alarm." if words else ""
    return f"{named}; {alarms} ({bound}), {twins}.{infos}\n[How this was measured](../evidence.md)."


def _count(number: float, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


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
