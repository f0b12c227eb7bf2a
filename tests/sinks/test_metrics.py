import csv
from pathlib import Path
from unittest import mock

from lightning.pytorch.loggers import CSVLogger

from lightning_nnguard.panels.chart import ScalarChart, TextChart
from lightning_nnguard.sinks.metrics import MetricsSink
from tests.panels.builders import FINDING
from tests.sinks.builders import SUMMARY, scalars


def test_one_call_a_step_with_scalars_only() -> None:
    logger = mock.Mock()
    MetricsSink(logger=logger).draw([*scalars(49, 2), TextChart(tag="nnguard/findings", step=49, markdown="x"), *scalars(99, 1)])
    assert logger.mock_calls == [
        mock.call.log_metrics({"update_ratio/net.0.weight": 0.0, "update_ratio/net.1.weight": 1.0}, step=49),
        mock.call.log_metrics({"update_ratio/net.0.weight": 0.0}, step=99),
    ]


def test_without_scalars_the_logger_is_left_alone() -> None:
    logger = mock.Mock()
    sink = MetricsSink(logger=logger)
    sink.draw([TextChart(tag="nnguard/findings", step=49, markdown="x")])
    sink.announce(FINDING)
    sink.finish(SUMMARY)
    assert logger.mock_calls == []


def test_names_keep_to_what_every_logger_takes() -> None:
    logger = mock.Mock()
    MetricsSink(logger=logger).draw([ScalarChart(tag="nnguard/gap/f1 [top-5]é:x/train", step=1, value=2.0)])
    logger.log_metrics.assert_called_once_with({"nnguard/gap/f1 _top-5___x/train": 2.0}, step=1)


def test_csv_logger_takes_names_that_come_later(tmp_path: Path) -> None:
    logger = CSVLogger(str(tmp_path), flush_logs_every_n_steps=1)
    sink = MetricsSink(logger=logger)
    sink.draw(scalars(0, 1))
    logger.log_metrics({"loss": 0.5}, step=1)
    sink.draw(scalars(2, 3))
    logger.save()
    with open(Path(logger.log_dir) / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert [row["update_ratio/net.2.weight"] for row in rows] == ["", "", "2.0"]
    assert [row["loss"] for row in rows] == ["", "0.5", ""]
