"""The documentation says what the code says, and its links lead somewhere."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])


def test_rule_pages_are_fresh() -> None:
    wanted = runpy.run_path(str(ROOT / "docs" / "make_rules.py"))["pages"]()
    present = {path.name: path.read_text("utf-8") for path in (ROOT / "docs" / "rules").glob("*.md")}
    stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
    assert not stale, "run `make docs`"


def test_a_rule_page_says_what_was_measured() -> None:
    with_evidence = runpy.run_path(str(ROOT / "docs" / "make_rules.py"))["with_evidence"]
    page = "# NNG301\n\n## How to silence\n\ncode\n"
    evidence = {
        "num_faults": 3, "num_seeds": 3, "num_faulty_runs": 9, "named": 9, "num_healthy_programs": 70, "num_healthy_runs": 210,
        "false_alarms": 0, "false_alarm_bound": 0.01416, "healthy_runs_with_a_word": 2, "num_fixed_runs": 1, "fixed_alarms": 0,
    }  # fmt: skip
    assert with_evidence(page, None) == page
    assert with_evidence(page, evidence) == (
        "# NNG301\n\n## Measured\n\n"
        "Named in 9 of 9 planted runs (3 faults, 3 seeds); 0 alarms in 210 healthy runs (70 programs; 95 % bound 1.4 %), "
        "0 in 1 run of cured programs. In 2 of the healthy runs it gave an info, which is no alarm.\n"
        "[How this was measured](../evidence.md).\n\n## How to silence\n\ncode\n"
    )


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_resolve(document: Path) -> None:
    targets = [first or second for first, second in LINK.findall(document.read_text("utf-8"))]
    relative = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    missing = [target for target in relative if not (document.parent / target).exists()]
    assert not missing


def test_no_page_is_unfinished() -> None:
    unfinished = [path.name for path in (ROOT / "docs" / "rules").glob("*.md") if "TODO" in path.read_text("utf-8")]
    assert not unfinished
