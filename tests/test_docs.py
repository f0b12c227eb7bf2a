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


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_resolve(document: Path) -> None:
    targets = [first or second for first, second in LINK.findall(document.read_text("utf-8"))]
    relative = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    missing = [target for target in relative if not (document.parent / target).exists()]
    assert not missing


def test_no_page_is_unfinished() -> None:
    unfinished = [path.name for path in (ROOT / "docs" / "rules").glob("*.md") if "TODO" in path.read_text("utf-8")]
    assert not unfinished
