"""The base of all sinks, and what they are told of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightning_nnguard.finding import Finding
from lightning_nnguard.panels.chart import Chart


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """The beginning of a guarded run: what one needs to tell it from another.

    Attributes:
        started: Date and time in UTC, ISO 8601.
        model: Class of the LightningModule.
        num_parameters: Its parameters.
        hyper_parameters: What the module and the datamodule have saved as theirs; values that are no JSON as text.
        trainer: Settings of the Trainer that shape the training, such as "max_epochs" and "precision".
        optimizers: Class and settings of each optimizer.
        seed: The run's seed; None when none was set through Lightning.
        versions: Package -> version.
        revision: Git revision of the working directory, with "+changes" when files differ from it; None outside of a repository.
        rules: Codes of the active rules.
        ignored: Rules that are not judged by -> reason.
    """

    started: str
    model: str
    num_parameters: int
    hyper_parameters: Mapping[str, object] = field(default_factory=dict)
    trainer: Mapping[str, object] = field(default_factory=dict)
    optimizers: Sequence[Mapping[str, object]] = ()
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None
    rules: Sequence[str] = ()
    ignored: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EpochEnd:
    """The end of an epoch.

    Attributes:
        epoch: The epoch.
        step: Optimizer steps so far.
        metrics: What was logged for it, training and validation -> value, on rank zero.
    """

    epoch: int
    step: int
    metrics: Mapping[str, float]


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


class Sink:
    """A place that findings and charts go to; a sink takes what it overrides, and passes over the rest.

    Only rank zero has sinks. A sink that raises is turned off, once, with a note.
    """

    def begin(self, start: RunStart) -> None:
        """Take the beginning of a fit."""

    def end_epoch(self, end: EpochEnd) -> None:
        """Take the end of an epoch."""

    def announce(self, finding: Finding) -> None:
        """Take a finding that is new, worse than before, or recovered."""

    def draw(self, charts: Sequence[Chart]) -> None:
        """Take the charts of one step."""

    def finish(self, summary: RunSummary) -> None:
        """Take the end of the run."""
