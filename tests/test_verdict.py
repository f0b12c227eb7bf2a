"""One verdict a place: the worst one, and whose rank it bears."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

from lightning_nnguard.finding import Severity
from lightning_nnguard.verdict import Verdict, by_place
from tests.builders import loss_call, non_finite
from tests.test_reporter import rule, verdict

JUDGE = rule()
PLACE = "NNG001", "train:head"


def at_head(severity: Severity | None, rank: int | None = None, **changes: object) -> Verdict:
    return verdict(JUDGE, loss_call(where="head", rank=rank, **changes), severity)


def chosen(*verdicts: Verdict) -> Verdict:
    """Return what is said of the head; the order of the ranks makes no difference."""
    found = [by_place(order)[PLACE] for order in permutations(verdicts)]
    assert len({(each.finding.severity, each.finding.rank) if each.finding else None for each in found}) == 1
    return found[0]


def test_a_finding_of_one_rank_bears_it_though_others_are_healthy() -> None:
    finding = chosen(at_head(None, rank=0), at_head(Severity.ERROR, rank=1), at_head(None, rank=2)).finding
    assert finding is not None
    assert finding.rank == 1


def test_a_finding_of_several_ranks_bears_none() -> None:
    finding = chosen(at_head(Severity.ERROR, rank=0), at_head(Severity.ERROR, rank=1)).finding
    assert finding is not None
    assert finding.rank is None


def test_two_findings_of_one_rank_bear_it() -> None:
    finding = chosen(at_head(Severity.INFO, rank=1), at_head(Severity.ERROR, rank=1)).finding
    assert finding is not None
    assert (finding.rank, finding.severity) == (1, Severity.ERROR)


def test_a_finding_of_all_ranks_bears_none_whatever_one_adds() -> None:
    finding = chosen(at_head(Severity.WARNING), at_head(Severity.ERROR, rank=1)).finding
    assert finding is not None
    assert (finding.rank, finding.severity) == (None, Severity.ERROR)


def test_a_place_in_another_loop_is_another_place() -> None:
    found = by_place([at_head(Severity.ERROR, rank=0), at_head(Severity.ERROR, rank=1, stage="validate")])
    assert {place: each.finding.rank for place, each in found.items() if each.finding} == {PLACE: 0, ("NNG001", "validate:head"): 1}


def test_what_is_not_finite_proves_no_health() -> None:
    nothing = verdict(JUDGE, replace(non_finite("activation"), where="head"), None)
    assert by_place([nothing]) == {}
    assert by_place([nothing, at_head(None)]) == {PLACE: at_head(None)}
