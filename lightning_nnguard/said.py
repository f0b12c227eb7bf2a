"""What was said about one fault: one finding that speaks for all its places and grows with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.verdict import Place


@dataclass(frozen=True, kw_only=True)
class Said:
    """What was said about one code in a run.

    An episode lasts from the onset to the recovery. The finding is that of the latest episode.

    Attributes:
        finding: The finding as it stands.
        places: Judged place -> its name in the finding, for all places of the episode, worst first.
        heard: Severity that the user knows of; only a higher one is worth another word.
        num_returns: Episodes after the first one.
    """

    finding: Finding
    places: Mapping[Place, str]
    heard: Severity
    num_returns: int = 0

    @classmethod
    def first(cls, firing: Mapping[Place, Finding]) -> Self:
        """Return what is said at the start: one finding for all places that fire.

        Args:
            firing: Judged place -> its finding, with the step of its onset, worst first.
        """
        places = {place: finding.where for place, finding in firing.items()}
        worst = next(iter(firing.values()))
        return cls(finding=_grouped(worst, places, firing), places=places, heard=worst.severity)

    @property
    def is_muted(self) -> bool:
        """Whether the fault has come back more than once, so that its coming and going is no news any more."""
        return self.num_returns > 1

    def again(self, firing: Mapping[Place, Finding]) -> Self:
        """Return what is said when the fault comes back after its recovery: a new episode."""
        new = replace(self.first(firing), num_returns=self.num_returns + 1)
        return replace(new, heard=self.heard) if new.is_muted else new

    def still(self, firing: Mapping[Place, Finding]) -> Self:
        """Return what is said while the fault lasts: more places, and another worst place if the severity rises."""
        worst = next(iter(firing.values()))
        now = {place: finding.where for place, finding in firing.items()}
        if worst.severity > self.finding.severity:
            places = {**now, **{place: where for place, where in self.places.items() if place not in now}}
        else:
            worst = self.finding
            places = {**self.places, **{place: where for place, where in now.items() if place not in self.places}}
        return replace(self, finding=_grouped(worst, places, firing), places=places)

    def as_heard(self) -> Self:
        """Return the same, the user having been told."""
        return replace(self, heard=max(self.heard, self.finding.severity))

    def recovered(self, step: int) -> Self:
        """Return what is said when all places are healthy again."""
        return replace(self, finding=replace(self.finding, recovered=step))


def _grouped(worst: Finding, places: Mapping[Place, str], firing: Mapping[Place, Finding]) -> Finding:
    names = tuple(dict.fromkeys(places.values()))
    last_seen = max(worst.last_seen, *(finding.last_seen for finding in firing.values()))
    return replace(worst, places=names if len(names) > 1 else (), last_seen=last_seen)
