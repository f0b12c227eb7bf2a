import io
import logging
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
from rich.console import Console

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.sinks.console import ConsoleSink
from lightning_nnguard.warning import FindingError, FindingInfo, FindingWarning, NNGuardWarning
from tests.panels.builders import FINDING
from tests.sinks.builders import SUMMARY

LONG = "backbone.stage4.blocks.11.transformer.mlp.activation.of.a.really.deep.model[bold]"


def printed(findings: list[Finding], *, width: int = 100, terminal: bool = True, notes: tuple[str, ...] = ()) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, no_color=True, color_system=None, _environ={})
    ConsoleSink(console=console).finish(replace(SUMMARY, findings=findings, notes=notes))
    return file.getvalue()


@pytest.mark.parametrize(("severity", "category"), [(Severity.WARNING, FindingWarning), (Severity.ERROR, FindingError)])
def test_bad_news_are_warnings_with_their_code(severity: Severity, category: type[Warning]) -> None:
    finding = FINDING.at(severity)
    with pytest.warns(category) as record:
        ConsoleSink().announce(finding)
    assert [str(each.message) for each in record] == [finding.text]
    assert "NNG501" in finding.text


def test_two_findings_are_both_shown_under_the_default_filter() -> None:
    program = (
        "from dataclasses import replace\n"
        "from lightning_nnguard.sinks.console import ConsoleSink\n"
        "from tests.panels.builders import FINDING\n"
        "for where in ('net.0', 'net.1', 'net.1'):\n"
        "    ConsoleSink().announce(replace(FINDING, where=where))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr.count("[net.0, step 1200") == 1
    assert result.stderr.count("[net.1, step 1200") == 1


def test_a_filter_can_make_errors_of_one_severity() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NNGuardWarning)
        warnings.simplefilter("error", FindingError)
        ConsoleSink().announce(FINDING)
        with pytest.raises(FindingError, match="NNG501"):
            ConsoleSink().announce(FINDING.at(Severity.ERROR))


def test_categories_share_their_base() -> None:
    assert all(issubclass(each, NNGuardWarning) for each in (FindingInfo, FindingWarning, FindingError))
    assert issubclass(NNGuardWarning, UserWarning)
    assert not issubclass(FindingError, FindingWarning)


@pytest.mark.parametrize("finding", [FINDING.at(Severity.INFO), replace(FINDING, severity=Severity.ERROR, recovered=1400)])
def test_other_news_are_logged(finding: Finding, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lightning_nnguard"):
        ConsoleSink().announce(finding)
    ((name, level, text),) = caplog.record_tuples
    assert (name, level) == ("lightning_nnguard", logging.INFO)
    assert text.startswith(finding.headline)
    assert ("recovered at step 1400" in text) == (finding.recovered is not None)


def test_clean_run_is_one_line() -> None:
    line = "nnguard: no findings: 25 rules over 1,200 steps (48 sampled), the guard took 0.8 % of the run\n"
    assert printed([]) == printed([], terminal=False) == printed([], width=40) == line


def test_notes_follow() -> None:
    assert (
        printed([], notes=("2 compiled regions [x] were not seen",)).splitlines()[1] == "note: 2 compiled regions [x] were not seen"
    )


@pytest.mark.parametrize("width", [60, 80, 100, 130, 180])
def test_table_fits_and_says_everything(width: int) -> None:
    finding = replace(FINDING, severity=Severity.ERROR, recovered=1400, last_seen=1350)
    text = printed([finding], width=width)
    table, conclusion = text.rsplit("nnguard: ", 1)
    assert max(len(line) for line in table.splitlines()) <= width
    words = " ".join(table.split())
    for each in ("error", "NNG501", "update-too-large", "net.0.weight", "1,200", "1,350", "recovered", "5.0e-01"):
        assert each in words
    assert conclusion.startswith("1 error: 25 rules")


@pytest.mark.parametrize("width", [60, 80, 130])
def test_long_names_lose_their_beginning(width: int) -> None:
    text = printed([replace(FINDING, where=LONG, places=(LONG, "b"))], width=width)
    assert "deep.model[bold]" in text
    assert "…" in text
    assert LONG not in text
    assert "2 places, worst" in text


def test_infos_come_last_whatever_the_order() -> None:
    text = printed(
        [FINDING.at(Severity.INFO), replace(FINDING, code="NNG777"), replace(FINDING, code="NNG888", severity=Severity.ERROR)]
    )
    assert text.index("NNG888") < text.index("NNG777") < text.index("NNG501")
    assert "nnguard: 1 error, 1 warning, 1 info: " in text


def test_infos_are_dim() -> None:
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=True, color_system="standard", _environ={})
    ConsoleSink(console=console).finish(replace(SUMMARY, findings=[FINDING.at(Severity.INFO)]))
    assert "\x1b[2mNNG501" in file.getvalue()


def test_without_a_terminal_lines_are_whole_and_plain() -> None:
    finding = replace(FINDING, where=LONG)
    lines = printed([finding], terminal=False, width=40).splitlines()
    assert lines[0].startswith("nnguard: 1 warning: 25 rules")
    assert lines[1] == f"warning  {finding.headline}"
    assert len(lines) == 2


def test_summary_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleSink().finish(SUMMARY)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("nnguard: no findings")
