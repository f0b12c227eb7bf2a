"""Planted faults are named: by the right rule, in time, with the right place, and by few others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.faults.fault import Fault
from benchmarks.faults.planted import FAULTS
from benchmarks.faults.program import run
from benchmarks.faults.stratum import SHARE
from lightning_nnguard import Severity
from lightning_nnguard.rules import all_rules, family


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.make.__name__)
def test_the_rule_alone_names_its_fault(fault: Fault, tmp_path: Path) -> None:
    outcome = run(fault.make, tmp_path, select=[fault.code])
    assert [finding.code for finding in outcome.findings] == [fault.code]
    (finding,) = outcome.findings
    assert finding.step < fault.before
    assert finding.where == (fault.where or finding.where)
    assert fault.line in finding.message
    assert outcome.notes == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.make.__name__)
def test_all_rules_together_name_the_fault_and_little_else(fault: Fault, tmp_path: Path) -> None:
    outcome = run(fault.make, tmp_path)
    loud = {finding.code for finding in outcome.findings if finding.severity > Severity.INFO}
    assert fault.code in {finding.code for finding in outcome.findings}
    assert loud - {fault.code} == set(fault.others)
    assert outcome.notes == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.make.__name__)
def test_nothing_is_said_of_the_cured_twin(fault: Fault, tmp_path: Path) -> None:
    outcome = run(fault.fixed, tmp_path)
    assert fault.code not in {finding.code for finding in outcome.findings}
    assert [finding.text for finding in outcome.findings if finding.severity > Severity.INFO] == []
    assert outcome.notes == []


def test_every_rule_has_a_planted_fault() -> None:
    """Those over ranks are planted in runs of several processes: tests/callbacks/test_agreement_ranks.py."""
    assert {fault.code for fault in FAULTS} == {rule.code for rule in all_rules() if family(rule) != "ranks"}


def test_nobody_with_one_fault_reads_more_than_two_warnings() -> None:
    assert [fault.make.__name__ for fault in FAULTS if len({fault.code, *fault.others}) > 2] == []


def test_there_are_pairs_of_every_kind_of_mistake() -> None:
    kinds = Counter(fault.kind for fault in FAULTS)
    assert len(FAULTS) >= 80
    assert all(kinds[kind] >= int(80 * share) for kind, share in SHARE.items())
