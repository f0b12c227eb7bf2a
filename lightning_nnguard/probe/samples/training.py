"""What the digests of training batches show: repeated batches, equal orders of epochs, copies between workers."""

from __future__ import annotations

from typing import NamedTuple

from lightning_nnguard.observation import EpochOrderSeen, RepeatedBatchSeen, Seen, WorkerSamplesSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.samples.kept import Digests, Kept, bits_of, copies
from lightning_nnguard.probe.samples.loading import Loading

#: Batches at the start of an epoch whose order is compared.
ORDERED = 8
#: Epochs from the first one on whose order is compared.
ORDERED_EPOCHS = 4
_MIN_REPEATS = 3


class ReadBatch(NamedTuple):
    """The digests of one batch, on the host.

    Attributes:
        number: Batches of training before this one, micro-batches counted.
        at: Its moment.
        digest: Digest of the batch.
        samples: shape (samples,): digests of its samples.
        are_samples: See `BatchDigests`.
        is_drawn: See `BatchDigests`.
    """

    number: int
    at: At
    digest: int
    samples: Digests
    are_samples: bool
    is_drawn: bool


class Repeats:
    """Counts equal batches in a row."""

    def __init__(self) -> None:
        self._last: ReadBatch | None = None
        self._run = 0
        self._told = _MIN_REPEATS - 1
        self._bits = 0.0

    def take(self, batch: ReadBatch) -> None:
        """Take the next batch."""
        last, self._last = self._last, batch
        if last is None or batch.number != last.number + 1 or batch.digest != last.digest:
            self._run, self._bits, self._told = 1, bits_of(batch.samples), _MIN_REPEATS - 1
        else:
            self._run += 1

    def told(self, loading: Loading) -> list[Seen]:
        """Return the present run of equal batches, each time it has about doubled."""
        if self._last is None or self._run <= self._told or loading.is_one_batch:
            return []
        self._told = 2 * self._run - 1
        at = self._last.at
        return [
            RepeatedBatchSeen(
                step=at.step, epoch=at.epoch, num_batches=self._run, num_samples=len(self._last.samples),
                bits=self._bits * (self._run - 1), population=loading.population, hands_on=loading.hands_on,
            )
        ]  # fmt: skip


class EpochOrders:
    """Compares the first batches of each epoch with those of the one before."""

    def __init__(self) -> None:
        self._batches: dict[int, dict[int, ReadBatch]] = {}
        self._told: set[int] = set()

    def take(self, batch: ReadBatch) -> None:
        """Take the next batch."""
        if batch.at.batch_index < ORDERED:
            self._batches.setdefault(batch.at.epoch, {})[batch.at.batch_index] = batch
            self._batches.pop(batch.at.epoch - 2, None)

    def told(self, loading: Loading) -> list[Seen]:
        """Return the comparison of two epochs that begin alike, once both beginnings are complete."""
        if not loading.sampler or not self._batches:
            return []
        epoch = max(self._batches)
        now, before = self._batches[epoch], self._batches.get(epoch - 1, {})
        if epoch in self._told or not before or now.keys() != before.keys() or 0 not in now:
            return []
        self._told.add(epoch)
        equal = [index for index, each in now.items() if each.digest == before[index].digest]
        if not equal:
            return []
        at = max(now.values(), key=lambda each: each.number).at
        return [
            EpochOrderSeen(
                step=at.step, epoch=at.epoch, num_batches=len(now), num_equal=len(equal), sampler=loading.sampler,
                num_samples=sum(len(each.samples) for each in now.values()),
                bits=sum(bits_of(now[index].samples) for index in equal),
            )
        ]  # fmt: skip


class Workers:
    """Compares what the workers of the training loader make in the first epoch: batch `i` comes from worker `i % num_workers`."""

    def __init__(self) -> None:
        self._round: list[ReadBatch] = []
        self._num_batches = 0
        self._num_told = 0
        self._num_rounds = self._num_equal = 0
        self._bits = 0.0
        self._has_told_generator = False
        self._at = At(step=0, epoch=0, batch_index=0)

    def take(self, batch: ReadBatch, loading: Loading) -> None:
        """Take the next batch of the first epoch."""
        self._at = batch.at
        if loading.num_workers < 2:
            return
        if batch.at.batch_index != self._num_batches:
            return  # the epoch was not seen from its start, so that nobody knows who made the batch
        self._num_batches += 1
        self._round.append(batch)
        if len(self._round) == loading.num_workers:
            self._num_rounds += 1
            if len({each.digest for each in self._round}) == 1:
                self._num_equal += 1
                self._bits += bits_of(batch.samples) * (len(self._round) - 1)
            self._round = []

    def told(self, kept: Kept, loading: Loading) -> list[Seen]:
        """Return what the workers made, each time there is twice as much of it, when they made the same."""
        if loading.num_workers < 2:
            return []
        seen = WorkerSamplesSeen(
            step=self._at.step, epoch=self._at.epoch, num_workers=loading.num_workers, is_iterable=loading.is_iterable,
            generator=loading.generator,
        )  # fmt: skip
        has_news = self._num_batches >= max(2 * loading.num_workers, 2 * self._num_told)
        if not has_news:
            if not loading.generator or self._has_told_generator:
                return []
            self._has_told_generator = True
            return [seen]
        self._num_told = self._num_batches
        now = kept.take()
        across, within = copies(now)
        if not across and not self._num_equal:
            return []
        counts = {
            "num_samples": int(now.counts.sum()), "num_across": across, "num_within": within, "num_rounds": self._num_rounds,
            "num_equal_rounds": self._num_equal, "bits": self._bits,
        }  # fmt: skip
        return [WorkerSamplesSeen(**{**vars(seen), **counts})]
