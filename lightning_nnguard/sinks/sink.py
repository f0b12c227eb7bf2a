"""The protocol of all sinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lightning_nnguard.finding import Finding
from lightning_nnguard.panels.chart import Chart


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The end of a guarded run.

    Attributes:
        findings: All findings, worst first.
        num_steps: Optimizer steps watched.
        num_sampled: Sampled steps among them.
        num_rules: Rules that were active.
        seconds: Wall-clock seconds that the guard took.
        share: The guard's share of the run's wall-clock time, 0 to 1.
        every_n_steps: Cadence at the end of the run.
        notes: Lines about what was not seen or not possible (compiled regions, parts turned off, missing metrics).
    """

    findings: Sequence[Finding]
    num_steps: int
    num_sampled: int
    num_rules: int
    seconds: float
    share: float
    every_n_steps: int
    notes: Sequence[str] = ()


class Sink(Protocol):
    """A place that findings and charts go to. Only rank zero has sinks. A sink that raises is turned off, once, with a note."""

    def announce(self, finding: Finding) -> None:
        """Take a finding that is new, worse than before, or recovered."""

    def draw(self, charts: Sequence[Chart]) -> None:
        """Take the charts of one step."""

    def finish(self, summary: RunSummary) -> None:
        """Take the end of the run."""
