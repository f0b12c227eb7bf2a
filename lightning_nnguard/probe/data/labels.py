"""The labels of the batches: how often each class occurs, and how many batches of training hold a single one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightning_nnguard.observation import LabelShiftSeen, LabelsSeen, Seen, Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.feed import Feed, Labels
from lightning_nnguard.probe.batches import tensor_at
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.data.label_shift import ValidationLabels, label_shift
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.samples.loading import Loading

#: Kinds of observation that come from here.
KINDS: frozenset[type[Seen]] = frozenset({LabelsSeen, LabelShiftSeen})
#: Labels of shuffled training samples that a comparison needs before the first epoch is over.
_MANY = 1000
#: Batches that are all looked at; later ones only on sampled steps of the first epoch.
_FIRST_BATCHES = 200
#: Batches after which the labels are told for the first time, and then whenever there are twice as many.
_FIRST_TELLING = 20
#: Samples of a batch that may be of one class by chance.
_MIN_SAMPLES = 8
#: An epoch that is watched from here on, as a share of its batches, counts as watched from its start.
_START = 0.1
#: More classes are not counted.
_MAX_CLASSES = 10_000


@dataclass(frozen=True, kw_only=True)
class _Totals:
    """What one rank has seen."""

    labels: Labels
    counts: tuple[int, ...]
    num_batches: int
    num_pure: int
    low: int
    high: int
    is_epoch_seen: bool

    def plus(self, other: _Totals) -> _Totals:
        pairs = zip(self.counts, other.counts, strict=True)
        return replace(
            self, counts=tuple(own + more for own, more in pairs), num_batches=self.num_batches + other.num_batches,
            num_pure=self.num_pure + other.num_pure, low=min(self.low, other.low), high=max(self.high, other.high),
            is_epoch_seen=self.is_epoch_seen and other.is_epoch_seen,
        )  # fmt: skip

    def seen(self, at: At) -> LabelsSeen:
        return LabelsSeen(
            where=self.labels.path, step=at.step, epoch=at.epoch, num_classes=self.labels.num_classes, counts=self.counts,
            ignore_index=self.labels.ignore_index, num_batches=self.num_batches, num_pure=self.num_pure,
            num_pure_classes=(1 + (self.low < self.high)) if self.num_pure else 0, is_epoch_seen=self.is_epoch_seen,
        )  # fmt: skip


class LabelWatch:
    """Counts labels in the first batches, and in those of sampled steps of the first epoch; a `BatchWatch`.

    Where the labels are is known once a batch of training was audited.

    Args:
        feed: Returns where the batches of a stage go; None while that is unknown.
        ranks: The processes that train together.
        device: Where the packed numbers live.
    """

    def __init__(self, feed: Callable[[Stage], Feed | None], *, ranks: Ranks, device: torch.device) -> None:
        self._feed, self._ranks, self._device = feed, ranks, device
        self._labels: Labels | None = None
        self._counts = self._pure = torch.zeros(0)
        self._first: At | None = None
        self._last_index = 0
        self._num_taken = self._num_batches = self._num_labels = 0
        self._next = _FIRST_TELLING
        self._loading = Loading()
        self._validation: ValidationLabels | None = None
        self._is_compared = False
        self._is_epoch_over = self._is_epoch_told = False

    def know(self, loading: Loading) -> None:
        """Take what is known of the loaders when the data has been set up."""
        self._loading = loading

    def start_batch(self, batch: object, at: At, *, sampled: bool) -> None:
        """Take a batch of training."""
        if self._num_taken >= _FIRST_BATCHES and (self._is_epoch_over or not sampled):
            return
        if self._labels is None and not self._find():
            return
        if self._first is None:
            self._first = at
        self._is_epoch_over = self._is_epoch_over or at.epoch > self._first.epoch
        self._last_index = self._last_index if self._is_epoch_over else at.batch_index
        target = tensor_at(batch, self._labels.path) if self._labels is not None else None
        if target is not None and target.numel():
            self._num_taken += 1
            with torch.no_grad():
                self._take(target.detach().reshape(-1).long())

    def _find(self) -> bool:
        feed = self._feed("train")
        labels = feed.labels if feed is not None else None
        if labels is None or labels.num_classes > _MAX_CLASSES:
            return False
        self._labels = labels
        self._counts = torch.zeros(labels.num_classes, dtype=torch.int64, device=self._device)
        # Batches of one class, their smallest label and their largest one.
        self._pure = torch.tensor([0, labels.num_classes, -1], device=self._device)
        return True

    def _take(self, target: Tensor) -> None:
        """Take labels; shape (batch,), int64. Nothing is read from the device."""
        assert self._labels is not None
        num_classes, ignored = self._labels.num_classes, self._labels.ignore_index
        target = target.to(self._device)
        self._num_labels += len(target)
        is_valid = (target >= 0) & (target < num_classes)
        if ignored is not None:
            is_valid &= target != ignored
        if not self._is_epoch_over:
            self._counts.scatter_add_(0, target.clamp(0, num_classes - 1), is_valid.long())
        if len(target) >= _MIN_SAMPLES:
            self._num_batches += 1
            low, high = target.aminmax()
            is_pure = (low == high) & is_valid[0]
            num, smallest, largest = self._pure.unbind()
            bounds = torch.where(is_pure, torch.stack([smallest.minimum(low), largest.maximum(high)]), self._pure[1:])
            self._pure = torch.cat([(num + is_pure)[None], bounds])

    # -- telling -------------------------------------------------------------------------------------------------------------

    @property
    def _is_due(self) -> bool:
        return self._num_taken >= self._next or (self._is_epoch_over and not self._is_epoch_told)

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 1

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return whether this rank has something to tell; see `Collector`."""
        due = torch.full((1,), float(self._is_due), dtype=torch.float32, device=self._device)
        return torch.zeros(0, dtype=torch.float32, device=self._device), due

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Tell all ranks what they have seen together, when that is due on any of them."""
        if maxima[0] <= 0:
            return ()
        own: list[_Totals] = []
        try:
            own = self._totals()
        finally:  # the other ranks wait for this one's numbers
            by_rank = self._ranks.gather(own)
        everyone = [each for part in by_rank for each in part]
        alike = [each for each in everyone if each.labels == everyone[0].labels]
        total = alike[0] if alike else None
        for each in alike[1:]:
            total = each.plus(total) if total is not None else each
        return [total.seen(at)] if total is not None else ()

    def _totals(self) -> list[_Totals]:
        """Return what this rank has seen; waits for the device."""
        if self._labels is None or self._first is None:
            return []
        self._next = 2 * max(self._next, self._num_taken)
        self._is_epoch_told = self._is_epoch_over
        num_pure, low, high = self._pure.tolist()
        return [
            _Totals(
                labels=self._labels, counts=tuple(self._counts.tolist()), num_batches=self._num_batches, num_pure=num_pure,
                low=low, high=high, is_epoch_seen=self._is_epoch_seen,
            )
        ]  # fmt: skip

    @property
    def _is_epoch_seen(self) -> bool:
        return self._is_epoch_over and self._first is not None and self._first.batch_index <= max(1, _START * self._last_index)

    # -- evaluation ----------------------------------------------------------------------------------------------------------

    def start_evaluation_batch(self, stage: Stage, batch: object, at: At, loader: int) -> None:
        """Take a batch of an evaluation; the first validation loader is compared, once, when all of it is seen."""
        if stage != "validate" or loader or self._is_compared:
            return
        if at.batch_index == 0:
            self._validation = self._validation_labels()
        if self._validation is not None:
            self._validation.take(batch)

    def _validation_labels(self) -> ValidationLabels | None:
        """Return what counts the labels of a validation; None when they are not comparable, or not yet."""
        loading, feed = self._loading, self._feed("validate")
        is_fixed = bool(loading.validation) and loading.validation[0].is_fixed and not loading.is_rehearsal
        if self._labels is None or feed is None or feed.labels != self._labels or not is_fixed or not loading.is_even:
            return None
        return ValidationLabels(labels=self._labels, device=self._device) if self._knows_training else None

    @property
    def _knows_training(self) -> bool:
        """Whether the counts stand for all of training: some of them do when it is shuffled, else nearly all must be there."""
        if self._loading.sampler:
            return self._is_epoch_seen or self._num_labels >= _MANY
        is_whole = self._first is not None and self._first.batch_index <= _START * self._last_index
        return self._is_epoch_seen and is_whole and self._last_index < _FIRST_BATCHES

    def end_evaluation(self, stage: Stage, at: At) -> object:
        """End an evaluation and return the labels of training and of the whole loader; None when not all of it was seen."""
        counted, self._validation = self._validation, None
        if stage != "validate" or counted is None or counted.num_batches != self._loading.validation[0].num_batches:
            return None
        return self._counts.tolist(), counted.counts.tolist()

    def read_evaluation(self, stage: Stage, at: At, parts: Sequence[Any]) -> Sequence[Seen]:
        """Return how the labels of a validation differ from those of training, all ranks together."""
        if self._labels is None or not parts or any(part is None for part in parts):
            return ()
        train, validation = ([sum(each) for each in zip(*side, strict=True)] for side in zip(*parts, strict=True))
        self._is_compared = True
        return label_shift(self._labels, train, validation, at)
