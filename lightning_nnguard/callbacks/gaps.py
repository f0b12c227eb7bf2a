"""Comparing training and validation metrics at the right moments of Lightning's loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from lightning_nnguard.callbacks.options import Options
from lightning_nnguard.containment import contain
from lightning_nnguard.observation import GapSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.fair import TrainingSlice
from lightning_nnguard.probe.gap import GapHistory, Pair
from lightning_nnguard.probe.probe import Probe
from lightning_nnguard.probe.ranks import Ranks

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class GapWatch:
    """Pairs the values that the user logs; or measures the training value like the validation one, when asked to be fair.

    Validation ends before Lightning has the epoch's training values, so a validation at the end of an epoch waits for them. One in
    the middle of an epoch is compared with the mean of the latest training losses, or with the step's training value.

    Args:
        options: Pairs, modes, fairness.
        wanted: Kinds of observation that rules and panels ask for.
        ranks: The processes that train together.
        note: Takes a line about what is missing.
    """

    def __init__(self, options: Options, wanted: Collection[type[Seen]], *, ranks: Ranks, note: Callable[[str], None]) -> None:
        self._is_on = GapSeen in wanted
        self._history = GapHistory(options.pairs, options.modes)
        self._tells_missing, self._strict = options.tells_missing, options.strict
        self._slice = TrainingSlice(options.fair_batches) if options.fair_batches else None
        self._ranks = ranks
        self._note = note
        self._validation: dict[str, float] = {}
        self._fair: dict[str, float] = {}
        self._has_failed = False

    @property
    def names(self) -> Sequence[str]:
        """Common names of the metrics that have values."""
        return self._history.names

    def stand_by(self) -> None:
        """Know nothing from now on; only listen when the ranks compare."""
        self._slice = None
        self._history = GapHistory({}, {})

    def offer(self, batch: object) -> None:
        """Keep a training batch for the fair measurement."""
        if self._slice is not None and self._is_on:
            self._slice.offer(batch)

    def note_validation(
        self, trainer: Trainer, module: LightningModule, context: Callable[[], AbstractContextManager[object]]
    ) -> None:
        """Keep the values of a validation that has just ended."""
        if not self._is_on:
            return
        self._validation, self._fair = {}, {}
        try:
            self._validation = logged_numbers(trainer)
        except Exception as error:  # the other ranks wait for this one's values, whatever went wrong with them
            self._fail(error)
        if self._slice is not None:
            try:
                self._fair = self._slice.measure(module, context())
            except Exception as error:
                self._note(f"the gap is not measured fairly: validation_step failed on a copy: {type(error).__name__}: {error}")
                self._slice = None

    def compare(
        self, trainer: Trainer, module: LightningModule, probe: Probe, at: At, *, at_epoch_end: bool, final: bool
    ) -> Sequence[Seen]:
        """Return the gap histories, when there is something new in them; every rank must call this at the same time."""
        if not self._is_on:
            return ()
        values: list[_Value] = []
        try:
            values = self._values(trainer, probe, at_epoch_end=at_epoch_end) if self._validation and not self._has_failed else []
        except Exception as error:  # the other ranks wait for this one's values, whatever went wrong with them
            self._fail(error)
        self._validation = {}
        if not self._add(values) and not final:
            return ()
        losses, modes = probe.losses, probe.modes
        return self._history.seen(
            at,
            chance=losses.level if losses is not None else None,
            rough_chance=losses.rough_level if losses is not None else None,
            regularised=modes is not None and modes.dropout_in_training,
            final=final,
        )

    def _fail(self, error: Exception) -> None:
        self._has_failed = True
        note = f"the gap is not compared: {type(error).__name__}: {error}"
        self._note(note)
        contain(error, note, strict=self._strict)

    def _values(self, trainer: Trainer, probe: Probe, *, at_epoch_end: bool) -> list[_Value]:
        """Return what this rank knows of each pair."""
        if self._fair:
            train, pairs = self._fair, self._history.same_names(self._fair, self._validation)
        else:
            train = logged_numbers(trainer)
            pairs, notes = self._history.pairs({**self._validation, **train})
            for note in notes if at_epoch_end and self._tells_missing else ():
                self._note(f"ValidationGap: {note}")
            if not at_epoch_end and probe.losses is not None:
                recent = probe.losses.history.recent
                train |= {pair.train: sum(recent) / len(recent) for pair in pairs if pair.name == "loss" and recent}
        return [
            _Value(pair=pair, fair=bool(self._fair), train=train[pair.train], validation=self._validation[pair.validation])
            for pair in pairs
            if pair.train in train and pair.validation in self._validation
        ]

    def _add(self, values: Sequence[_Value]) -> bool:
        """Add each pair's mean over the ranks that know it, on all ranks alike; return whether there was any."""
        by_pair: dict[tuple[Pair, bool], list[_Value]] = {}
        for value in (each for theirs in self._ranks.gather(values) for each in theirs):
            by_pair.setdefault((value.pair, value.fair), []).append(value)
        for (pair, fair), everyone in by_pair.items():
            train, validation = (sum(column) / len(everyone) for column in zip(*(each[2:] for each in everyone), strict=True))
            self._history.add(pair, train, validation, fair=fair)
        return bool(by_pair)


class _Value(NamedTuple):
    """What one rank knows of one pair."""

    pair: Pair
    fair: bool
    train: float
    validation: float


def logged_numbers(trainer: Trainer) -> dict[str, float]:
    """Return the metrics that the user has logged, by name; those of one element. Every rank must call this at the same time."""
    numbers = ((name, _number(value)) for name, value in trainer.callback_metrics.items())
    return {name: number for name, number in numbers if number is not None}


def _number(value: object) -> float | None:
    """Return a metric as a number; None when it is not one: whatever somebody has put there by hand."""
    if isinstance(value, Tensor):
        return float(value) if value.numel() == 1 else None
    return float(value) if isinstance(value, int | float) else None
