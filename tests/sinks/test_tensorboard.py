import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from torch.utils.tensorboard import SummaryWriter

from lightning_nnguard.finding import Severity
from lightning_nnguard.panels.chart import HistogramChart, ImageChart, LayoutChart, TextChart
from lightning_nnguard.sinks.tensorboard import TensorBoardSink
from tests.panels.builders import FINDING
from tests.sinks.builders import SUMMARY, scalars

HISTOGRAM = HistogramChart(
    tag="activation/net.1",
    step=49,
    upper_edges=(0.0, 1.0, 2.0),
    counts=(5.0, 3.0, 1.0),
    low=-1.0,
    high=1.5,
    total=4.0,
    total_squares=9.0,
)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SummaryWriter]:
    with SummaryWriter(str(tmp_path)) as writer:
        yield writer


def events(writer: SummaryWriter) -> list[Event]:
    """Return what is on disk, event by event, without flushing."""
    (path,) = Path(writer.log_dir).glob("events.out.tfevents.*")
    every = [Event.FromString(record) for record in RawEventFileLoader(str(path)).Load()]
    return [event for event in every if event.HasField("summary")]


def read(writer: SummaryWriter) -> EventAccumulator:
    writer.flush()
    return EventAccumulator(writer.log_dir, size_guidance={"scalars": 0, "tensors": 0, "histograms": 0}).Reload()


def layouts(writer: SummaryWriter) -> list[dict[str, list[str]]]:
    """Return each written layout: title -> tags."""
    found = []
    for each in read(writer).Tensors("custom_scalars__config__"):
        layout = Layout.FromString(each.tensor_proto.string_val[0])
        assert [category.title for category in layout.category] == ["nnguard"]
        charts = {}
        for chart in layout.category[0].chart:
            series = [tag for each in chart.margin.series for tag in (each.value, each.lower, each.upper)]
            charts[chart.title] = series or list(chart.multiline.tag)
        found.append(charts)
    return found


def test_scalars_of_a_step_are_one_event(writer: SummaryWriter) -> None:
    sink = TensorBoardSink(writer=writer)
    sink.draw(scalars(49, 200))
    sink.draw(scalars(99, 200))
    data = read(writer)
    assert [(each.step, each.value) for each in data.Scalars("update_ratio/net.7.weight")] == [(49, 7.0), (99, 7.0)]
    assert len(data.Tags()["scalars"]) == 200
    assert [(event.step, len(event.summary.value)) for event in events(writer)] == [(49, 200), (99, 200)]


def test_scalars_of_several_steps_keep_theirs(writer: SummaryWriter) -> None:
    TensorBoardSink(writer=writer).draw([*scalars(49), *scalars(99)])
    assert [each.step for each in read(writer).Scalars("update_ratio/net.2.weight")] == [49, 99]


@pytest.mark.parametrize("error", [AttributeError, TypeError])
def test_writer_with_other_insides_gets_single_scalars(error: type[Exception]) -> None:
    other = mock.Mock(spec=SummaryWriter)
    other._get_file_writer.side_effect = error
    TensorBoardSink(writer=other).draw(scalars(49, 2))
    assert other.add_scalar.call_args_list == [
        mock.call("update_ratio/net.0.weight", 0.0, 49),
        mock.call("update_ratio/net.1.weight", 1.0, 49),
    ]


def test_full_disk_is_not_hidden() -> None:
    full = mock.Mock(spec=SummaryWriter)
    full._get_file_writer.side_effect = OSError("no space left on device")
    with pytest.raises(OSError, match="no space left"):
        TensorBoardSink(writer=full).draw(scalars(49))


def test_histogram_keeps_buckets_and_moments(writer: SummaryWriter) -> None:
    TensorBoardSink(writer=writer).draw([HISTOGRAM])
    (seen,) = read(writer).Histograms("activation/net.1")
    value = seen.histogram_value
    assert seen.step == 49
    assert (value.bucket_limit, value.bucket) == ([0.0, 1.0, 2.0], [5.0, 3.0, 1.0])
    assert (value.min, value.max, value.num, value.sum, value.sum_squares) == (-1.0, 1.5, 9.0, 4.0, 9.0)


def test_image_keeps_its_pixels(writer: SummaryWriter) -> None:
    from io import BytesIO

    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    TensorBoardSink(writer=writer).draw([ImageChart(tag="nnguard/health", step=49, pixels=pixels)])
    (seen,) = read(writer).Images("nnguard/health")
    assert (seen.step, seen.height, seen.width) == (49, 30, 20)
    assert np.array_equal(np.asarray(Image.open(BytesIO(seen.encoded_image_string))), pixels)


def test_text_is_markdown(writer: SummaryWriter) -> None:
    TensorBoardSink(writer=writer).draw([TextChart(tag="nnguard/findings", step=49, markdown="**é**")])
    (seen,) = read(writer).Tensors("nnguard/findings/text_summary")
    assert (seen.step, seen.tensor_proto.string_val[0].decode()) == (49, "**é**")


MARGIN = LayoutChart(charts={"ratio": ("margin", ("r/median", "r/min", "r/max"))})
LINES = LayoutChart(charts={"gap: f1.top(5)": ("multiline", ("gap/f1.top(5)/train", "gap/f1.top(5)/validation"))})


def test_layout_is_written_once(writer: SummaryWriter) -> None:
    sink = TensorBoardSink(writer=writer)
    sink.draw([MARGIN])
    sink.draw([MARGIN])
    assert layouts(writer) == [{"ratio": ["r/median", "r/min", "r/max"]}]


def test_layouts_of_all_guards_on_one_writer_are_merged(writer: SummaryWriter) -> None:
    TensorBoardSink(writer=writer).draw([MARGIN])
    TensorBoardSink(writer=writer).draw([LINES])
    TensorBoardSink(writer=writer).draw([MARGIN])
    first, last = layouts(writer)
    assert set(first) == {"ratio"}
    assert set(last) == {"ratio", "gap: f1.top(5)"}


def test_lines_match_their_tags_only(writer: SummaryWriter) -> None:
    import re

    TensorBoardSink(writer=writer).draw([LINES])
    pattern, _ = layouts(writer)[0]["gap: f1.top(5)"]
    assert re.match(pattern, "gap/f1.top(5)/train")
    assert not re.match(pattern, "gap/f1.top(5)/train_loss")
    assert not re.match(pattern, "gap/f1xtop5/train")


def test_each_writer_has_its_own_layout(tmp_path: Path) -> None:
    for run in ("a", "b"):
        with SummaryWriter(str(tmp_path / run)) as writer:
            TensorBoardSink(writer=writer).draw([MARGIN])
            assert len(layouts(writer)) == 1


@pytest.mark.parametrize(
    ("severity", "flushes"), [(Severity.INFO, [0, 0, 0]), (Severity.WARNING, [1, 2, 2]), (Severity.ERROR, [1, 2, 2])]
)
def test_bad_news_and_the_text_that_tells_them_reach_the_disk_at_once(severity: Severity, flushes: list[int]) -> None:
    writer = mock.Mock(spec=SummaryWriter)
    sink = TensorBoardSink(writer=writer)
    counts = []
    sink.draw(scalars(49))
    sink.announce(FINDING.at(severity))
    counts.append(writer.flush.call_count)
    for step in (49, 99):
        sink.draw([TextChart(tag="nnguard/findings", step=step, markdown="x")])
        counts.append(writer.flush.call_count)
    assert counts == flushes


def test_everything_is_on_disk_at_the_end(writer: SummaryWriter) -> None:
    sink = TensorBoardSink(writer=writer)
    for step in range(100):
        sink.draw(scalars(step))
    sink.finish(SUMMARY)
    assert [event.step for event in events(writer)] == [*range(100)]


def test_sinks_load_neither_torch_nor_lightning() -> None:
    program = (
        "import pkgutil, importlib, sys, lightning_nnguard.sinks as p;"
        "[importlib.import_module(f'{p.__name__}.{m.name}') for m in pkgutil.iter_modules(p.__path__)];"
        "print(*{'torch', 'lightning', 'pytorch_lightning', 'tensorboard'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split() == []
