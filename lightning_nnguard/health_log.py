"""The health of layers over a run, and when a new picture of it is due."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from lightning_nnguard.finding import Finding
from lightning_nnguard.observation import ActivationSeen, DeadUnitsSeen, GradientSeen, NonFiniteSeen, Quantity, Seen, UpdateSeen
from lightning_nnguard.panels.chart import Chart
from lightning_nnguard.panels.findings_text import findings_text
from lightning_nnguard.panels.health import OK, Health, extend
from lightning_nnguard.panels.health_map import health_map
from lightning_nnguard.verdict import Verdict

_QUANTITIES: dict[type[Seen], Quantity] = {
    ActivationSeen: "activation",
    DeadUnitsSeen: "activation",
    GradientSeen: "gradient",
    UpdateSeen: "parameter",
}


class HealthLog:
    """Which layers were judged, how they were, and how much of that has been drawn."""

    def __init__(self) -> None:
        self._health = Health()
        self._num_rounds = 0
        self._num_rounds_drawn = 0

    def take(self, verdicts: Sequence[Verdict], step: int) -> None:
        """Take the verdicts of one round: a layer is as healthy as its worst finding, said or not."""
        severities: dict[str, int] = {}
        for verdict in verdicts:
            layer = _layer(verdict.seen)
            if layer is not None:
                severities.setdefault(layer, OK)
                if verdict.finding is not None:
                    severities[layer] = max(int(verdict.finding.severity), severities[layer])
        if severities:
            self._health = extend(self._health, step, severities)
            self._num_rounds += 1

    def charts(self, findings: Sequence[Finding], step: int, *, is_news: bool) -> list[Chart]:
        """Return what is due: text and picture when there is news, the picture also when there are twice as many rounds in it.

        Args:
            findings: All findings of the run.
            step: Step to draw at.
            is_news: Whether a finding is new, worse or gone, or the run has ended.
        """
        charts: list[Chart] = [findings_text(findings, step)] if is_news else []
        if self._num_rounds and (is_news or self._num_rounds >= 2 * self._num_rounds_drawn):
            charts.append(health_map(self._health))
            self._num_rounds_drawn = self._num_rounds
        return charts


def _layer(seen: Seen) -> str | None:
    """Return the path of the layer that an observation is about; None when it is about something else.

    A layer and its parameters share one row, so a parameter stands for its module. What held NaN is a layer, too.
    """
    quantity = seen.quantity if isinstance(seen, NonFiniteSeen) else _QUANTITIES.get(type(seen))
    if quantity == "activation":
        return seen.where or None
    return _module_of(seen.where) if quantity in ("gradient", "parameter") else None


@lru_cache(maxsize=4096)
def _module_of(parameter: str) -> str | None:
    return parameter.rpartition(".")[0] or parameter or None
