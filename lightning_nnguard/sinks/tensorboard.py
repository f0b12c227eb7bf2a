"""TensorBoard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.panels.chart import Chart, HistogramChart, ImageChart, LayoutChart, ScalarChart, TextChart
from lightning_nnguard.sinks.sink import RunSummary, Sink

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
    from torch.utils.tensorboard import SummaryWriter

CATEGORY = "nnguard"

_LAYOUTS: WeakKeyDictionary[SummaryWriter, LayoutChart] = WeakKeyDictionary()
"""The layout in each writer's file: TensorBoard reads one layout a run, so all guards of a run share it."""


class TensorBoardSink(Sink):
    """A TensorBoard run that all charts are drawn into, beside what Lightning logs there.

    Args:
        writer: The run's only writer, such as `TensorBoardLogger.experiment`. A second writer in the same directory would stop
            TensorBoard's Python reader from following the first.
    """

    def __init__(self, *, writer: SummaryWriter) -> None:
        self._writer = writer
        self._urgent = False

    def announce(self, finding: Finding) -> None:
        """Write to disk at once what is known so far, before a crash can eat it. The findings themselves come as a chart."""
        if finding.severity >= Severity.WARNING:
            self._writer.flush()
            self._urgent = True

    def draw(self, charts: Sequence[Chart]) -> None:
        """Write the charts of one step."""
        self._numbers([chart for chart in charts if isinstance(chart, ScalarChart | HistogramChart)])
        for chart in charts:
            match chart:
                case ImageChart():
                    self._writer.add_image(chart.tag, chart.pixels, chart.step, dataformats="HWC")
                case TextChart():
                    self._writer.add_text(chart.tag, chart.markdown, chart.step)
                case LayoutChart():
                    self._layout(chart)
        if self._urgent and charts:
            self._writer.flush()
            self._urgent = False

    def finish(self, summary: RunSummary) -> None:
        """Write to disk what is left."""
        self._writer.flush()

    def _numbers(self, charts: Sequence[ScalarChart | HistogramChart]) -> None:
        """Write all scalars and histograms of a step as one event: each event is a hand-over to the writer's thread."""
        for step in dict.fromkeys(chart.step for chart in charts):
            chosen = [chart for chart in charts if chart.step == step]
            try:
                self._writer._get_file_writer().add_summary(_summary(chosen), step)  # type: ignore[no-untyped-call]
            except (AttributeError, TypeError):  # a compatible writer: other insides, or other classes of messages
                for chart in chosen:
                    if isinstance(chart, ScalarChart):
                        self._writer.add_scalar(chart.tag, chart.value, step)
                    else:
                        self._histogram(chart)

    def _histogram(self, chart: HistogramChart) -> None:
        self._writer.add_histogram_raw(
            chart.tag,
            min=chart.low,
            max=chart.high,
            num=sum(chart.counts),
            sum=chart.total,
            sum_squares=chart.total_squares,
            bucket_limits=chart.upper_edges,
            bucket_counts=chart.counts,
            global_step=chart.step,
        )

    def _layout(self, chart: LayoutChart) -> None:
        """Write the charts of all guards of this run as one layout, when that is not what the file holds already."""
        written = _LAYOUTS.get(self._writer, LayoutChart())
        merged = LayoutChart(charts={**written.charts, **chart.charts})
        if merged == written:
            return
        # margin charts name tags, multiline charts take patterns that match the beginning of tags
        content = {
            title: ["Margin", list(tags)] if kind == "margin" else ["Multiline", [f"{re.escape(tag)}$" for tag in tags]]
            for title, (kind, tags) in merged.charts.items()
        }
        self._writer.add_custom_scalars({CATEGORY: content})
        _LAYOUTS[self._writer] = merged


def _summary(charts: Sequence[ScalarChart | HistogramChart]) -> Summary:
    """Return TensorBoard's message for the scalars and histograms of one step."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary

    values = []
    for chart in charts:
        if isinstance(chart, ScalarChart):
            values.append(Summary.Value(tag=chart.tag, simple_value=chart.value))
            continue
        histogram = HistogramProto(
            min=chart.low, max=chart.high, num=sum(chart.counts), sum=chart.total, sum_squares=chart.total_squares,
            bucket_limit=chart.upper_edges, bucket=chart.counts,
        )  # fmt: skip
        values.append(Summary.Value(tag=chart.tag, histo=histogram))
    return Summary(value=values)
