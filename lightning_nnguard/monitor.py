"""From observations to findings and charts. Knows neither torch nor Lightning nor TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lightning_nnguard.containment import Containment
from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.gate import is_learning
from lightning_nnguard.health_log import HealthLog
from lightning_nnguard.non_finite import finite
from lightning_nnguard.observation import LossSeen, Seen
from lightning_nnguard.panels.chart import Chart
from lightning_nnguard.panels.panel import Panel
from lightning_nnguard.panels.panel import subscription as panel_subscription
from lightning_nnguard.reporter import Reporter
from lightning_nnguard.rules import Rule, subscription
from lightning_nnguard.sinks.sink import EpochEnd, RunStart, RunSummary, Sink
from lightning_nnguard.verdict import Verdict


def own_severity(rule: Rule[Seen], finding: Finding) -> Severity:
    """Return the severity that a finding has by itself."""
    return finding.severity


class Monitor:
    """Shows observations to rules and panels, and what comes of it to sinks.

    A rule, panel or sink that raises is turned off, with a note; the others go on. `wanted` stays as it is then, because panels
    and sinks may fail on one rank alone, and all ranks must collect the same.

    Attributes:
        wanted: Kinds of observations that anything here asks for; the probe collects no others.
        reporter: The memory of what was said.
    """

    def __init__(
        self,
        rules: Sequence[Rule[Seen]],
        panels: Sequence[Panel] = (),
        sinks: Sequence[Sink] = (),
        severity_of: Callable[[Rule[Seen], Finding], Severity] = own_severity,
        *,
        draw_health: bool = False,
        strict: bool = False,
    ) -> None:
        """Subscribe rules and panels.

        Args:
            rules: Rules to judge by.
            panels: Functions from all observations of one kind to charts.
            sinks: Where findings and charts go; none on other ranks than zero, and then no chart is made.
            severity_of: Severity of a rule's finding, after the gate; usually `Policy.severity_of`.
            draw_health: Whether to draw the health of all layers and the text of all findings.
            strict: Whether an error of a rule, panel or sink is raised.
        """
        self.reporter = Reporter()
        self._rules = [(rule, f"rule {rule.code} {rule.name}", subscription(type(rule))) for rule in rules]
        self._panels = [(panel, f"panel {getattr(panel, '__name__', repr(panel))}", panel_subscription(panel)) for panel in panels]
        self._sinks = tuple(sinks)
        self._severity_of = severity_of
        self._health = HealthLog() if draw_health and sinks else None
        self._containment = Containment(strict=strict)
        self._loss: LossSeen | None = None
        self._step = 0
        gate: set[type[Seen]] = {LossSeen} if any(rule.gated for rule in rules) else set()
        self.wanted: frozenset[type[Seen]] = frozenset(gate.union(kind for *_, kind in [*self._rules, *self._panels]))

    @property
    def findings(self) -> list[Finding]:
        """All findings of the run, worst first."""
        return self.reporter.findings

    @property
    def notes(self) -> list[str]:
        """One line for each part that was turned off."""
        return list(self._containment.notes)

    @property
    def is_learning(self) -> bool:
        """Whether the run is learning, as far as its newest loss tells; without any loss it counts as learning."""
        return self._loss is None or is_learning(self._loss)

    def see(self, observations: Sequence[Seen]) -> list[Finding]:
        """Judge and draw the observations of one round: one sampled step, or one validation.

        Args:
            observations: What was seen, merged over ranks, each kind in the order of the model.

        Returns:
            The findings that are new, worse than before, or recovered, worst first.
        """
        if not observations:
            return []
        by_kind: dict[type[Seen], list[Seen]] = {}
        for seen in finite(observations):
            by_kind.setdefault(type(seen), []).append(seen)
            self._loss = seen if isinstance(seen, LossSeen) else self._loss
        self._step = max(seen.step for seen in observations)
        verdicts: list[Verdict] = []
        for rule, name, kind in self._rules:
            if kind in by_kind:
                verdicts += self._containment.run(rule, name, self._judge, rule, by_kind[kind]) or ()
        news = self.reporter.report(verdicts, self._step)
        if self._health is not None:
            self._containment.run(self._health, "health map", self._health.take, verdicts, self._step)
        if self._sinks:
            self._show(news, [*self._panel_charts(by_kind), *self._health_charts(is_news=bool(news))])
        return news

    def draw(self, charts: Sequence[Chart]) -> None:
        """Hand charts to the sinks that no panel makes from observations, such as a layout."""
        self._show((), charts)

    def begin(self, start: RunStart) -> None:
        """Pass the beginning of a fit on to the sinks."""
        for sink in self._sinks:
            self._containment.run(sink, _sink_name(sink), sink.begin, start)

    def end_epoch(self, end: EpochEnd) -> None:
        """Pass the end of an epoch on to the sinks."""
        for sink in self._sinks:
            self._containment.run(sink, _sink_name(sink), sink.end_epoch, end)

    def finish(self, summary: RunSummary) -> None:
        """Draw the health of the run once more and pass its summary on to the sinks."""
        self._show((), self._health_charts(is_news=True))
        for sink in self._sinks:
            self._containment.run(sink, _sink_name(sink), sink.finish, summary)

    def _judge(self, rule: Rule[Seen], observations: Sequence[Seen]) -> list[Verdict]:
        verdicts = []
        for seen in observations:
            finding = rule.check(seen)
            if finding is not None:
                gated = finding.at(Severity.INFO) if rule.is_gated(seen) and self.is_learning else finding
                finding = gated.at(self._severity_of(rule, gated))
            verdicts.append(Verdict(rule=rule, seen=seen, finding=finding))
        return verdicts

    def _panel_charts(self, by_kind: Mapping[type[Seen], Sequence[Seen]]) -> list[Chart]:
        charts: list[Chart] = []
        for panel, name, kind in self._panels:
            if kind in by_kind:
                charts += self._containment.run(panel, name, panel, by_kind[kind]) or ()
        return charts

    def _health_charts(self, *, is_news: bool) -> list[Chart]:
        health = self._health
        if health is None:
            return []
        return self._containment.run(health, "health map", health.charts, self.findings, self._step, is_news=is_news) or []

    def _show(self, news: Sequence[Finding], charts: Sequence[Chart]) -> None:
        for sink in self._sinks:
            for finding in news:
                self._containment.run(sink, _sink_name(sink), sink.announce, finding)
            if charts:
                self._containment.run(sink, _sink_name(sink), sink.draw, charts)


def _sink_name(sink: Sink) -> str:
    return f"sink {type(sink).__name__}"
