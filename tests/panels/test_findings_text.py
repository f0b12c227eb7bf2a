import html
import re
import warnings
from dataclasses import replace
from urllib.parse import unquote

import pytest

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.panels.findings_text import findings_text
from tests.panels.builders import FINDING

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the sanitizer that TensorBoard brings
    from tensorboard.plugin_util import markdown_to_safe_html

HOSTILE = [
    "a<script>alert(1)</script>",
    "a<h1>b</h1><hr>",
    "a|b",
    "a]b[c](d)",
    "__init__",
    "*x* `y`",
    "&lt;b&gt;",
    "#1. \\ ~~z~~",
    "<!-- -->",
    "1. x",
]


def rows(findings: list[Finding]) -> list[list[str]]:
    """Return the cells of the table as TensorBoard shows them, row by row, without the header."""
    page = markdown_to_safe_html(findings_text(findings, 2000).markdown)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)[1:]]


def shown(cell: str) -> str:
    """Return what a cell reads as."""
    return html.unescape(re.sub(r"<[^>]*>", "", cell.replace("<br>", " ")))


def test_no_findings() -> None:
    chart = findings_text([], 2000)
    assert (chart.tag, chart.step, chart.markdown) == ("nnguard/findings", 2000, "**no findings** up to step 2,000")


def test_table_says_everything() -> None:
    ((severity, fault, where, since, last_seen, recovered, what),) = rows(
        [replace(FINDING, last_seen=1350, recovered=1400, rank=3)]
    )
    assert [shown(each) for each in (severity, fault)] == ["warning", "NNG501 update-too-large"]
    assert shown(where) == "net.0.weight rank 3"
    assert [shown(each) for each in (since, last_seen, recovered)] == ["1,200 epoch 2", "1,350", "1,400"]
    assert shown(what) == FINDING.message


def test_worst_first_then_lasting_then_oldest() -> None:
    findings = [
        replace(FINDING, code="NNG001", severity=Severity.INFO),
        replace(FINDING, code="NNG002", severity=Severity.ERROR, recovered=1300),
        replace(FINDING, code="NNG003", step=1100),
        replace(FINDING, code="NNG004", severity=Severity.ERROR),
        replace(FINDING, code="NNG005", step=1000),
    ]
    assert [shown(row[1])[:6] for row in rows(findings)] == ["NNG004", "NNG002", "NNG005", "NNG003", "NNG001"]


def test_details_say_why_and_fix_once_a_fault() -> None:
    text = findings_text([FINDING, replace(FINDING, where="net.1.weight")], 2000).markdown
    assert text.count("**why**") == text.count("**fix**") == 1
    assert "lower the learning rate" in text
    assert "`nnguard explain NNG501`" in text


def test_grouped_finding_counts_its_places_and_links_them() -> None:
    places = tuple(f"net.{index}.weight" for index in range(12))
    finding = replace(FINDING, places=places)
    ((_, _, where, *_),) = rows([finding])
    assert shown(where) == "12 places, worst net.0.weight"
    text = markdown_to_safe_html(findings_text([finding], 2000).markdown)
    assert "net.9.weight" in text
    assert "net.10.weight" not in text
    assert "and 2 more" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_and_messages_are_shown_as_they_are(name: str) -> None:
    finding = replace(FINDING, where=name, name=name, message=name, why=name, fix=name)
    ((_, fault, where, *_, what),) = rows([finding])
    assert (shown(fault), shown(where), shown(what)) == (f"NNG501 {name}", name, name)
    page = markdown_to_safe_html(findings_text([finding], 2000).markdown)
    assert set(re.findall(r"<(\w+)", page)) <= {
        "p",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "a",
        "br",
        "h4",
        "ul",
        "li",
        "code",
    }
    assert page.count("<a ") == 2


def test_long_message_is_wrapped_and_whole() -> None:
    message = "number " * 60
    ((*_, what),) = rows([replace(FINDING, message=message)])
    assert shown(what) == message.strip()
    assert max(len(line) for line in what.split("<br>")) <= 44


def test_newlines_do_not_break_the_table() -> None:
    ((*_, what),) = rows([replace(FINDING, message="one\n\ntwo | three", where="a\nb")])
    assert shown(what) == "one two | three"


@pytest.mark.parametrize(
    ("where", "tag", "other"),
    [
        ("net.3", "activation/net.3", "activation/net.30"),
        ("net.3", "update_ratio/net.3.weight", "update_ratio/net.3.conv.weight"),
        ("net.3.weight", "activation/net.3", "activation/subnet.3"),
        ("net.3.weight", "gradient/net.3.weight", "gradient/netx3.weight"),
        ("loss", "nnguard/gap/loss/train", "nnguard/gap/xloss/train"),
        ("a(b)|c", "activation/a(b)|c", "activation/c"),
    ],
)
def test_link_filters_the_charts_of_its_layer(where: str, tag: str, other: str) -> None:
    ((_, _, cell, *_),) = rows([replace(FINDING, where=where)])
    (query,) = re.findall(r'href="\?tagFilter=([^"#]*)#timeseries"', cell)
    pattern = unquote(html.unescape(query))
    assert re.search(pattern, tag)
    assert not re.search(pattern, other)


def test_run_wide_finding_has_no_link() -> None:
    ((_, _, where, *_),) = rows([replace(FINDING, where="")])
    assert where == "run"


def test_length_is_bounded() -> None:
    findings = [replace(FINDING, where=f"net.{index}", severity=Severity.INFO) for index in range(500)]
    findings.append(replace(FINDING, where="worst", severity=Severity.ERROR))
    chart = findings_text(findings, 2000)
    assert len(rows(findings)) == 100
    assert shown(rows(findings)[0][2]) == "worst"
    assert "**501 findings**" in chart.markdown
    assert "and 401 more" in chart.markdown
