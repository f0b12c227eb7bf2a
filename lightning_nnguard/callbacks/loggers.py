"""Sinks for the Trainer's loggers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lightning_nnguard.sinks.console import ConsoleSink
from lightning_nnguard.sinks.json_lines import JsonLinesSink
from lightning_nnguard.sinks.metrics import MetricsSink
from lightning_nnguard.sinks.sink import Sink
from lightning_nnguard.sinks.tensorboard import TensorBoardSink

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def sinks_of(trainer: Trainer, log_dir: Path, *, write_lines: bool) -> list[Sink]:
    """Return the console, a sink for each of the Trainer's loggers, and a file of JSON lines beside the logs.

    Args:
        trainer: The Trainer; it may have no logger.
        log_dir: The run's log directory.
        write_lines: Whether to write the JSON lines; only where there is a logger, so that no run without logs leaves files.
    """
    sinks: list[Sink] = [ConsoleSink()]
    for logger in trainer.loggers:
        try:
            experiment = getattr(logger, "experiment", None)
        except Exception:  # a service that cannot be reached; the guard goes on without it
            experiment = None
        if experiment is not None and hasattr(experiment, "add_histogram_raw") and hasattr(experiment, "add_custom_scalars"):
            sinks.append(TensorBoardSink(writer=experiment))
        else:
            sinks.append(MetricsSink(logger=logger))
    if write_lines and trainer.loggers and not getattr(trainer, "fast_dev_run", False):
        sinks.append(JsonLinesSink(path=log_dir / "nnguard.jsonl"))
    return sinks
