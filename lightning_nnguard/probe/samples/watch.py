"""The watch over samples: digests the first batches of training and of validation, and tells what comes up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_nnguard.observation import (
    EpochOrderSeen,
    OverlapSeen,
    RepeatedBatchSeen,
    Seen,
    Stage,
    ValidationChangeSeen,
    WorkerSamplesSeen,
)
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.merge import merged
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.rare import RareCollector
from lightning_nnguard.probe.samples.digests import BatchDigests, digest_batch
from lightning_nnguard.probe.samples.kept import Digests, Kept, share_of
from lightning_nnguard.probe.samples.loading import Loading
from lightning_nnguard.probe.samples.training import ORDERED, ORDERED_EPOCHS, EpochOrders, ReadBatch, Repeats, Workers
from lightning_nnguard.probe.samples.validation import Part, Validations, change, changes_seen, overlaps_seen

#: Kinds of observation that come from here.
KINDS: frozenset[type[Seen]] = frozenset({EpochOrderSeen, OverlapSeen, RepeatedBatchSeen, ValidationChangeSeen, WorkerSamplesSeen})
#: Batches of training that are all digested; after them, only the first ones of the next epochs.
MAX_BATCHES = 200


class _Waiting(NamedTuple):
    number: int
    at: At
    digests: BatchDigests


class SampleWatch(RareCollector):
    """Recognises samples by their digests; see `BatchWatch`.

    The first 200 batches of training are digested, and the first 8 of each of the first four epochs. On an accelerator that takes
    some small kernels, and the digests are copied to the host with the numbers of the next sampled step, so that they are known
    one sampled step later. Of later batches nothing is looked at.

    Args:
        ranks: The processes that train together.
        device: The model's device.
    """

    def __init__(self, *, ranks: Ranks, device: torch.device) -> None:
        super().__init__(ranks=ranks, device=device)
        self._loading: Loading | None = None
        self._num_batches = 0
        self._first_epoch = -1
        self._waiting: list[_Waiting] = []
        self._sent: tuple[list[_Waiting], Tensor, Tensor] | None = None
        self._repeats, self._orders, self._workers = Repeats(), EpochOrders(), Workers()
        self._kept = Kept(share_of(ranks.world_size))
        self._is_complete = False
        self._compared = 0
        self._validations = Validations(share_of(ranks.world_size))
        self._untold: list[Seen] = []
        self._has_told_overlaps = False
        self._sample: int | None = None

    def know(self, loading: Loading) -> None:
        """Take what is known of the loaders when training begins."""
        self._loading = loading

    # -- training ------------------------------------------------------------------------------------------------------------

    def start_batch(self, batch: object, at: At, *, sampled: bool) -> None:
        """Take a batch of training."""
        number = self._num_batches
        self._num_batches += 1
        if number >= MAX_BATCHES and (at.batch_index >= ORDERED or at.epoch >= self._first_epoch + ORDERED_EPOCHS):
            return
        if self._loading is None or self._loading.is_rehearsal:
            return
        if self._first_epoch < 0:
            self._first_epoch = at.epoch
        digests = digest_batch(batch, self._device)
        if digests is not None:
            self._waiting.append(_Waiting(number, at, digests))

    @property
    def has_words(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._untold)

    def words(self, at: At) -> Sequence[Seen]:
        """Return what is untold."""
        untold, self._untold = self._untold, []
        return untold

    def pack(self) -> tuple[Tensor, Tensor]:
        """Send the digests that wait to the host, and return whether there is something to tell."""
        self._read()
        if self._waiting:
            digests = _together([each.digests.digests for each in self._waiting])
            host = digests
            if not _is_here(digests):
                host = torch.empty(digests.shape, dtype=digests.dtype, pin_memory=True)
                host.copy_(digests, non_blocking=True)
            self._sent, self._waiting = (self._waiting, digests, host), []
            if _is_here(digests):
                self._read()
        return super().pack()

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Read the digests that were sent, which are there now; and return what all ranks have to tell, when any has something."""
        self._read(has_arrived=True)
        return super().observe(sums, maxima, at)

    def _read(self, *, has_arrived: bool = False) -> None:
        """Look at the digests that were sent. When they may not have arrived they are copied once more, which waits for them."""
        if self._sent is None or self._loading is None:
            return
        (waiting, device, host), self._sent = self._sent, None
        numbers = (host if has_arrived or _is_here(device) else device.cpu()).numpy()
        starts = np.cumsum([0, *(len(each.digests.digests) for each in waiting)])
        for each, start, end in zip(waiting, starts, starts[1:], strict=False):
            digest, samples = int(numbers[start]), numbers[start + 1 : end].copy()
            batch = ReadBatch(each.number, each.at, digest, samples, each.digests.are_samples, each.digests.is_drawn)
            self._take(batch, self._loading)
        self._untold += self._repeats.told(self._loading)
        self._untold += self._orders.told(self._loading)
        if not self._is_complete:
            self._untold += self._workers.told(self._kept, self._loading)

    def _take(self, batch: ReadBatch, loading: Loading) -> None:
        if not self._has_told_overlaps and (not batch.are_samples or self._differs(batch.samples)):
            self._has_told_overlaps = True
            self._untold += [replace(each, step=batch.at.step, epoch=batch.at.epoch) for each in loading.overlaps]
        if batch.number < MAX_BATCHES:
            self._repeats.take(batch)
        if loading.sampler and batch.at.epoch < self._first_epoch + ORDERED_EPOCHS:
            self._orders.take(batch)
            self._untold += self._orders.told(loading)
        if batch.at.epoch != self._first_epoch or batch.number >= MAX_BATCHES:
            self._is_complete = True
        elif batch.are_samples:
            self._workers.take(batch, loading)
            self._kept.add(batch.samples, batch.at.batch_index % max(loading.num_workers, 1))

    def _differs(self, samples: Digests) -> bool:
        """Return whether training has samples that differ: a loader of placeholders may serve training and validation."""
        self._sample = int(samples[0]) if self._sample is None else self._sample
        return bool((samples != self._sample).any())

    # -- validation ----------------------------------------------------------------------------------------------------------

    def start_evaluation_batch(self, stage: Stage, batch: object, at: At, loader: int) -> None:
        """Take a batch of an evaluation."""
        if stage != "validate" or not self._validations.wants(at, loader):
            return
        if self._loading is not None and self._loading.is_rehearsal:
            return
        digests = digest_batch(batch, self._device, columns=True)
        if digests is not None:
            self._validations.take(digests, loader)

    def end_evaluation(self, stage: Stage, at: At) -> Part | None:
        """End an evaluation and return what this rank saw of it."""
        if stage != "validate":
            return None
        self._read()
        if self._waiting:
            digests = _together([each.digests.digests for each in self._waiting]).cpu()
            self._sent, self._waiting = (self._waiting, digests, digests), []
            self._read()
        ended = self._validations.end(is_rehearsal=not self._num_batches)
        changes = {loader: found for loader, (now, before) in ended.items() if (found := change(now, before)) is not None}
        is_due = self._kept.num_seen >= max(1, 2 * self._compared) or (self._is_complete and self._kept.num_seen > self._compared)
        words = self.words(at)
        if not is_due:
            return Part(None, {}, changes, words) if changes or words else None
        self._compared = self._kept.num_seen
        return Part(self._kept.take(), self._validations.passes, changes, words)

    def read_evaluation(self, stage: Stage, at: At, parts: Sequence[Part | None]) -> Sequence[Seen]:
        """Return what all ranks saw of an evaluation."""
        found = [part for part in parts if part is not None]
        if self._loading is None or not found:
            return ()
        words = merged([part.words if part is not None else () for part in parts])
        return [*words, *overlaps_seen(found, self._loading, at), *changes_seen(found, self._loading, at)]


def _is_here(digests: Tensor) -> bool:
    """Return whether digests can be read without waiting for a device."""
    return digests.device.type == "cpu"


def _together(digests: Sequence[Tensor]) -> Tensor:
    """Return digests in one tensor; those of batches on the CPU, if there are also others, on the device of the first one."""
    return torch.cat([each.to(digests[0].device, non_blocking=True) for each in digests])
