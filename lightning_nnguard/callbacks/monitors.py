"""What callbacks and schedulers of a Trainer monitor, and which way is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lightning_nnguard.observation import MonitorSeen
from lightning_nnguard.probe.at import At

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def monitors_of(trainer: Trainer, at: At) -> Sequence[MonitorSeen]:
    """Return what is monitored with a mode, by callbacks of either Lightning and by schedulers such as `ReduceLROnPlateau`.

    A checkpoint that keeps every state (`save_top_k` of -1) or only the latest (0) chooses none by its mode.
    """
    return [
        MonitorSeen(where=name, step=at.step, epoch=at.epoch, kind=type(owner).__name__, mode=mode)
        for owner, name in _owners(trainer)
        if isinstance(name, str) and (mode := getattr(owner, "mode", None)) in {"min", "max"}
    ]


def monitored_by(trainer: Trainer) -> Mapping[str, str]:
    """Return the metrics that are monitored, each with the class of the first who does."""
    found: dict[str, str] = {}
    for owner, name in _owners(trainer):
        if isinstance(name, str):
            found.setdefault(name, type(owner).__name__)
    return found


def _owners(trainer: Trainer) -> Iterator[tuple[object, object]]:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if getattr(callback, "save_top_k", 1) not in {-1, 0}:
            yield callback, getattr(callback, "monitor", None)
    for config in trainer.lr_scheduler_configs:
        yield config.scheduler, config.monitor
