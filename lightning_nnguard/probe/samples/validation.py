"""What the digests of validation batches show: samples of training among them, and data that change from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_nnguard.observation import OverlapSeen, Seen, ValidationChangeSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.samples.continuity import is_marked
from lightning_nnguard.probe.samples.digests import BatchDigests
from lightning_nnguard.probe.samples.kept import MAX_KEPT, Kept, Thinned, at_level, num_repeated, united
from lightning_nnguard.probe.samples.loading import Loading

#: Batches of a loader that are digested in one validation.
MAX_BATCHES = 200
#: Validations that are digested, the sanity check apart: the second one shows whether the data change.
MAX_VALIDATIONS = 2
MAX_LOADERS = 8


class Pass(NamedTuple):
    """One loader in one validation; picklable.

    Attributes:
        kept: Its samples.
        is_drawn: See `BatchDigests`.
        num_batches: Its batches.
        are_samples: Whether the batches say what a sample is.
        is_continuous: Whether the columns of most batches are of many values; see `BatchDigests`.
    """

    kept: Thinned
    is_drawn: bool
    num_batches: int
    are_samples: bool
    is_continuous: bool = False


class Part(NamedTuple):
    """What one rank has seen; picklable.

    Attributes:
        train: Samples of the first epoch of training; None when they are not asked for.
        validation: The loaders of the newest digested validation, by their number.
        changes: By number of the loader: samples compared with the validation before, those not met again, whether all are of
            integers.
        words: What else it has to tell.
    """

    train: Thinned | None
    validation: Mapping[int, Pass]
    changes: Mapping[int, tuple[int, int, bool]]
    words: Sequence[Seen] = ()


class Validations:
    """Takes batches of validation, and remembers the newest digested one of each loader.

    Args:
        max_kept: Different samples that are kept of each loader at most.
    """

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._num, self._max_kept = 0, max_kept
        self._waiting: dict[int, list[BatchDigests]] = {}
        self._passes: dict[int, Pass] = {}

    def wants(self, at: At, loader: int) -> bool:
        """Return whether a batch is to be digested."""
        return self._num < MAX_VALIDATIONS and at.batch_index < MAX_BATCHES and loader < MAX_LOADERS

    def take(self, digests: BatchDigests, loader: int) -> None:
        """Take the digests of a batch."""
        self._waiting.setdefault(loader, []).append(digests)

    def end(self, *, is_rehearsal: bool) -> dict[int, tuple[Pass, Pass | None]]:
        """End a validation; return each loader that was digested, and what it was before.

        Args:
            is_rehearsal: Whether this was the sanity check, which is short.
        """
        ended: dict[int, tuple[Pass, Pass | None]] = {}
        waiting, self._waiting = self._waiting, {}
        for loader, batches in waiting.items():
            kept = Kept(self._max_kept)
            digests: list[Tensor] = [each.digests[1:] for each in batches]
            kept.add(torch.cat(digests).cpu().numpy())
            known = [each.is_continuous for each in batches if each.is_continuous is not None]
            num_continuous = int(torch.stack(known).sum()) if known else 0
            now = Pass(
                kept.take(), all(each.is_drawn for each in batches), len(batches), all(each.are_samples for each in batches),
                2 * num_continuous > len(batches),
            )  # fmt: skip
            ended[loader] = now, self._passes.get(loader)
            self._passes[loader] = now
        self._num += bool(waiting) and not is_rehearsal
        return ended

    @property
    def passes(self) -> Mapping[int, Pass]:
        """The newest digested validation of each loader."""
        return self._passes


def change(now: Pass, before: Pass | None) -> tuple[int, int, bool] | None:
    """Return how many samples of the shorter of two validations were compared and are not in the longer one; None without any."""
    if before is None or not now.are_samples or not before.are_samples:
        return None
    short, long = (before, now) if before.num_batches <= now.num_batches else (now, before)
    level = max(short.kept.level, long.kept.level)
    own, others = at_level(short.kept, level).digests, at_level(long.kept, level).digests
    return len(own), int((~np.isin(own, others)).sum()), now.is_drawn


def changes_seen(parts: Sequence[Part], loading: Loading, at: At) -> list[Seen]:
    """Return how validation data have changed, over all ranks, where they are to stay the same."""
    seen: list[Seen] = []
    for number, loader in enumerate(loading.validation):
        found = [part.changes[number] for part in parts if number in part.changes]
        if found and loader.is_fixed:
            compared, changed, is_drawn = (sum(column) for column in zip(*found, strict=True))
            seen.append(
                ValidationChangeSeen(
                    where=loader.name, step=at.step, epoch=at.epoch, num_samples=compared, num_changed=changed,
                    is_drawn=is_drawn == len(found),
                )
            )  # fmt: skip
    return seen


def overlaps_seen(parts: Sequence[Part], loading: Loading, at: At) -> list[Seen]:
    """Return how many samples of each validation loader are among those of training, over all ranks.

    A sample of validation counts once, so that what a distributed sampler pads with is not counted twice.
    """
    # Ranks that read the same data, as in tensor parallelism, count as one.
    trains = {part.train.digests.tobytes(): part.train for part in parts if part.train is not None}
    if not trains:
        return []
    train = united(list(trains.values()))
    known = {each.where for each in loading.overlaps}
    compared: dict[str, _Overlap] = {}
    for number, loader in enumerate(loading.validation):
        passes = [part.validation[number] for part in parts if number in part.validation]
        if not passes or loader.name in known or not all(each.are_samples for each in passes):
            continue
        validation = united([each.kept for each in passes])
        level = max(train.level, validation.level)
        ours, theirs = at_level(train, level), np.unique(at_level(validation, level).digests)
        num_shared = int(np.isin(theirs, ours.digests).sum())
        unlikely = theirs[is_marked(theirs)] if all(each.is_continuous for each in passes) else theirs[:0]
        compared[loader.name] = _Overlap(
            len(theirs), num_shared, int(ours.counts.sum()), _expected(ours, validation, loading), len(np.unique(ours.digests)),
            int(np.isin(unlikely, ours.digests).sum()),
        )  # fmt: skip
    shares = {name for name, found in compared.items() if found.num_shared} | known
    num_clean = len(loading.validation) - len(shares)
    return [
        OverlapSeen(
            where=name, step=at.step, epoch=at.epoch, shared_by="bytes", num_clean_loaders=num_clean if found.num_shared else 0,
            **found._asdict(),
        )
        for name, found in compared.items()
        if found.num_validation
    ]  # fmt: skip


class _Overlap(NamedTuple):
    """Numbers of an `OverlapSeen`."""

    num_validation: int
    num_shared: int
    num_train: int
    num_repeated: int
    num_different: int
    num_unlikely: int


def _expected(train: Thinned, validation: Thinned, loading: Loading) -> int:
    """Return how many training samples have an equal one; with replacement drawn ones are judged by those of validation."""
    if not loading.replaces:
        return num_repeated(train)
    num = int(validation.counts.sum())
    return round(int(train.counts.sum()) * num_repeated(validation) / num) if num else 0
