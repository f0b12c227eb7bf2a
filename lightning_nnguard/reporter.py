"""The memory of what was said: patience, causes and symptoms, grouping, worsening and recovery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lightning_nnguard.causes import silenced
from lightning_nnguard.finding import Finding
from lightning_nnguard.said import Said
from lightning_nnguard.verdict import Place, Streak, Verdict, by_place

__all__ = ["Reporter", "Verdict"]


class Reporter:
    """Turns verdicts into news: each fault is said once, with its onset, its places, and its end.

    - A fault is said when its rule has fired at one place for `patience` rounds in a row. All places that fire in that round are
      one finding, told from the worst one: highest severity, then earliest onset, then first in the given order.
    - A place that fires later joins the finding after `patience` rounds of its own, without a word.
    - A higher severity is said again.
    - A fault that one of its causes explains, in the same round or from before, is not said while the cause lasts (causes.py).
    - A fault has recovered when each of its places was healthy in `patience` + 1 rounds in a row. That is said, and so is the
      first return after it; later comings and goings only update the finding.
    """

    def __init__(self) -> None:
        self._streaks: dict[Place, Streak] = {}
        self._said: dict[str, Said] = {}

    @property
    def findings(self) -> list[Finding]:
        """All findings of the run as they stand, worst first."""
        return _worst_first(said.finding for said in self._said.values())

    def report(self, verdicts: Sequence[Verdict], step: int) -> list[Finding]:
        """Take the verdicts of one round and return what is new, worst first.

        Args:
            verdicts: All verdicts of the round: one sampled step, or one validation.
            step: Step of the round.
        """
        # A place that never fired has nothing to recover from: most verdicts end here.
        codes = {code for code, _ in self._streaks}
        matters = [
            verdict
            for verdict in verdicts
            if verdict.finding is not None or (verdict.rule.code in codes and verdict.place in self._streaks)
        ]
        if not matters:
            return []
        judged: dict[str, dict[Place, Verdict]] = {}
        for place, verdict in by_place(matters).items():
            self._streaks[place] = self._streaks.get(place, Streak()).after(verdict)
            judged.setdefault(verdict.rule.code, {})[place] = verdict
        firing = {code: self._firing(each) for code, each in judged.items()}
        hushed = self._hushed(matters, firing)
        news = [self._update(code, next(iter(each.values())), firing[code], code in hushed, step) for code, each in judged.items()]
        return _worst_first(finding for finding in news if finding is not None)

    def _firing(self, judged: Mapping[Place, Verdict]) -> dict[Place, Finding]:
        """Return the findings of one rule, with the step of their onset, worst first."""
        found = {}
        for place, verdict in judged.items():
            if verdict.finding is not None:
                streak, last_seen = self._streaks[place], verdict.finding.step
                found[place] = replace(verdict.finding, step=streak.step, epoch=streak.epoch, last_seen=last_seen)
        return dict(sorted(found.items(), key=lambda item: (-item[1].severity, item[1].step)))

    def _hushed(self, verdicts: Sequence[Verdict], firing: Mapping[str, Mapping[Place, Finding]]) -> frozenset[str]:
        return silenced(
            {code: max(finding.severity for finding in found.values()) for code, found in firing.items() if found},
            {code: said.finding.severity for code, said in self._said.items() if said.finding.recovered is None},
            {verdict.rule.code: verdict.rule.explained_by for verdict in verdicts},
        )

    def _update(self, code: str, verdict: Verdict, firing: Mapping[Place, Finding], hushed: bool, step: int) -> Finding | None:
        patience = verdict.rule.patience
        ripe = [place for place in firing if self._streaks[place].fired >= patience]
        said = self._said.get(code)
        if said is None or said.finding.recovered is not None:
            if hushed or not ripe:
                return None
            if said is None:
                return self._tell(Said.first(firing), is_news=True)
            now = said.again(firing)
            return self._tell(now, is_news=not now.is_muted or now.finding.severity > now.heard)
        lasting = {place: finding for place, finding in firing.items() if place in said.places or place in ripe}
        if lasting:
            now = said.still(lasting)
            return self._tell(now, is_news=now.finding.severity > said.heard and not hushed)
        if not firing and all(self._streaks[place].healthy > patience for place in said.places):
            return self._tell(said.recovered(step), is_news=not said.is_muted)
        return None

    def _tell(self, said: Said, *, is_news: bool) -> Finding | None:
        self._said[said.finding.code] = said.as_heard() if is_news else said
        return said.finding if is_news else None


def _worst_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (-finding.severity, finding.step, finding.code))
