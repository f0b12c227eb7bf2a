"""Verdicts: what a rule said of one place in one round, and how long it has said so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lightning_nnguard.finding import Finding
from lightning_nnguard.observation import NonFiniteSeen, Seen
from lightning_nnguard.rules import Rule

Place = tuple[str, str]


class Verdict(NamedTuple):
    """A rule has judged one observation: it found its fault, or nothing.

    Attributes:
        rule: The rule.
        seen: What it judged.
        finding: What it found; None when the place is healthy.
    """

    rule: Rule[Seen]
    seen: Seen
    finding: Finding | None = None

    @property
    def place(self) -> Place:
        """Code and judged place. One module in training and in validation is two places: each may be well alone."""
        where, stage = self.seen.where, getattr(self.seen, "stage", None)
        return self.rule.code, f"{stage}:{where}" if stage else where

    @property
    def proves_health(self) -> bool:
        """Whether nothing found means healthy. Numbers that are not NaN leave no observation, so of those nobody knows."""
        return self.finding is None and not isinstance(self.seen, NonFiniteSeen)


@dataclass(frozen=True, kw_only=True)
class Streak:
    """Rounds in a row in which one place was judged alike. One of the two counts is 0.

    Attributes:
        fired: Latest rounds in a row with a finding.
        healthy: Latest rounds in a row without one.
        step: Step of the first finding in the row: the onset.
        epoch: Epoch of the onset.
    """

    fired: int = 0
    healthy: int = 0
    step: int = -1
    epoch: int = -1

    def after(self, verdict: Verdict) -> Streak:
        """Return the streak after one more round."""
        if verdict.finding is None:
            return Streak(healthy=self.healthy + 1)
        if self.fired:
            return Streak(fired=self.fired + 1, step=self.step, epoch=self.epoch)
        return Streak(fired=1, step=verdict.finding.step, epoch=verdict.finding.epoch)


def by_place(verdicts: Sequence[Verdict]) -> dict[Place, Verdict]:
    """Return one verdict a place, in the given order: the most severe finding, or else a proof of health.

    A finding that several ranks have made of a place belongs to none of them.
    """
    chosen: dict[Place, Verdict] = {}
    ranks: dict[Place, set[int | None]] = {}
    for verdict in verdicts:
        if verdict.finding is not None:
            ranks.setdefault(verdict.place, set()).add(verdict.finding.rank)
        known = chosen.get(verdict.place)
        if verdict.finding is None:
            if verdict.proves_health:
                chosen.setdefault(verdict.place, verdict)
        elif known is None or known.finding is None or known.finding.severity < verdict.finding.severity:
            chosen[verdict.place] = verdict
    for place, verdict in chosen.items():
        if verdict.finding is not None and verdict.finding.rank is not None and len(ranks[place]) > 1:
            chosen[place] = verdict._replace(finding=replace(verdict.finding, rank=None))
    return chosen
