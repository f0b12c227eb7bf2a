"""The end of a healthy run, and a few charts."""

from __future__ import annotations

from lightning_nnguard.panels.chart import ScalarChart
from lightning_nnguard.sinks.sink import RunSummary

SUMMARY = RunSummary(findings=(), num_steps=1200, num_sampled=48, num_rules=25, seconds=3.5, share=0.008, every_n_steps=25)


def scalars(step: int, num: int = 3) -> list[ScalarChart]:
    """Return as many scalars of one step, valued 0, 1, 2, ..."""
    return [ScalarChart(tag=f"update_ratio/net.{index}.weight", step=step, value=float(index)) for index in range(num)]
