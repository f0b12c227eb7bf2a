"""Any logger of Lightning that takes numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from lightning_nnguard.panels.chart import Chart, ScalarChart
from lightning_nnguard.sinks.sink import Sink


class MetricsLogger(Protocol):
    """The part of Lightning's `Logger` that this sink needs."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Take the numbers of one step."""


class MetricsSink(Sink):
    """A logger that all scalars go to: one call a step. Other charts need TensorBoard and are left out.

    Args:
        logger: Any Lightning logger.
    """

    def __init__(self, *, logger: MetricsLogger) -> None:
        self._logger = logger

    def draw(self, charts: Sequence[Chart]) -> None:
        """Log the scalars. Characters that some loggers refuse in names become "_"."""
        steps: dict[int, dict[str, float]] = {}
        for chart in charts:
            if isinstance(chart, ScalarChart):
                steps.setdefault(chart.step, {})[re.sub(r"[^a-zA-Z0-9_/. -]", "_", chart.tag)] = chart.value
        for step, metrics in steps.items():
            self._logger.log_metrics(metrics, step=step)
