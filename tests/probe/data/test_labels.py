"""Counting labels: which batches, and what is told of them."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_nnguard.observation import LabelsSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.feed import Feed, Labels
from lightning_nnguard.probe.data.labels import LabelWatch
from lightning_nnguard.probe.ranks import Ranks

FEED = Feed(labels=Labels(path="batch[1]", num_classes=3, ignore_index=-100))


class _Two(Ranks):
    """Two ranks that have seen the same."""

    def gather(self, value):
        return [value, value]


def watch(feed: Feed | None = FEED, ranks: Ranks | None = None) -> LabelWatch:
    return LabelWatch(lambda stage: feed if stage == "train" else None, ranks=ranks or Ranks(), device=torch.device("cpu"))


def train(watched: LabelWatch, targets: list[Tensor], per_epoch: int, every: int = 10) -> list[LabelsSeen]:
    told = []
    for step, target in enumerate(targets):
        at = At(step=step, epoch=step // per_epoch, batch_index=step % per_epoch)
        sampled = step % every == every - 1
        watched.start_batch((torch.zeros(len(target), 2), target), at, sampled=sampled)
        if sampled:
            sums, maxima = watched.pack()
            assert (len(sums), len(maxima)) == watched.sizes
            told += watched.observe(sums.numpy(), maxima.numpy(), at)
    return told


def mixed(num: int, size: int = 12) -> list[Tensor]:
    return [torch.arange(size) % 3 for _ in range(num)]


def test_labels_are_told_after_twenty_batches_and_then_more_and_more_rarely():
    told = train(watch(), mixed(190), per_epoch=1000)
    assert [each.num_batches for each in told] == [20, 40, 80, 160]
    last = told[-1]
    assert (last.where, last.num_classes, last.ignore_index) == ("batch[1]", 3, -100)
    assert last.counts == (640, 640, 640)
    assert (last.num_pure, last.num_pure_classes, last.is_epoch_seen) == (0, 0, False)


def test_counts_end_with_the_first_epoch():
    told = train(watch(), mixed(100), per_epoch=30)
    assert [(each.num_batches, each.is_epoch_seen, each.num_labels) for each in told] == [
        (20, False, 240), (40, True, 360), (80, True, 360),
    ]  # fmt: skip


def test_beyond_the_first_batches_only_sampled_ones_count():
    watched = watch()
    told = train(watched, mixed(410), per_epoch=400)
    assert told[-1].num_labels == 12 * (200 + 20)
    assert told[-1].is_epoch_seen
    assert watched.pack()[1].item() == 0


def test_a_run_that_was_resumed_within_an_epoch_has_not_seen_it():
    watched = watch()
    for step in range(60, 130):
        at = At(step=step, epoch=step // 100, batch_index=step % 100)
        watched.start_batch((torch.zeros(12), torch.arange(12) % 3), at, sampled=True)
    (seen,) = watched.observe(*(each.numpy() for each in watched.pack()), At(step=129, epoch=1, batch_index=29))
    assert not seen.is_epoch_seen


def test_batches_of_one_class():
    targets = [torch.full((12,), step // 8) for step in range(20)]
    (seen,) = train(watch(), targets, per_epoch=100)
    assert (seen.num_batches, seen.num_pure, seen.num_pure_classes) == (20, 20, 2)
    targets = [torch.full((12,), 2), *mixed(19)]
    (seen,) = train(watch(), targets, per_epoch=100)
    assert (seen.num_pure, seen.num_pure_classes) == (1, 1)


def test_ignored_labels_are_neither_counted_nor_a_class():
    ignored = [torch.full((12,), -100)] * 10 + [torch.tensor([-100] * 4 + [1] * 8)] * 10
    (seen,) = train(watch(), ignored, per_epoch=100)
    assert seen.counts == (0, 80, 0)
    assert seen.num_pure == 0


def test_an_ignored_class_is_none():
    feed = Feed(labels=Labels(path="batch[1]", num_classes=3, ignore_index=0))
    (seen,) = train(watch(feed), [torch.zeros(12, dtype=torch.long)] * 10 + mixed(10), per_epoch=100)
    assert seen.counts == (0, 40, 40)
    assert seen.num_pure == 0


def test_small_batches_are_counted_and_not_judged():
    (seen,) = train(watch(), [torch.zeros(7, dtype=torch.long)] * 20, per_epoch=100)
    assert (seen.num_labels, seen.num_batches, seen.num_pure) == (140, 0, 0)


def test_labels_of_two_ranks_add_up():
    (seen,) = train(watch(ranks=_Two()), mixed(20), per_epoch=100)
    assert (seen.counts, seen.num_batches) == ((160, 160, 160), 40)


def test_nothing_is_told_without_labels():
    assert train(watch(None), mixed(40), per_epoch=10) == []
    assert train(watch(Feed()), mixed(40), per_epoch=10) == []
    many = Feed(labels=Labels(path="batch[1]", num_classes=20_000, ignore_index=None))
    assert train(watch(many), mixed(40), per_epoch=10) == []


def test_binary_targets_of_any_type_and_shape():
    feed = Feed(labels=Labels(path="batch[1]", num_classes=2, ignore_index=None))
    (seen,) = train(watch(feed), [torch.tensor([[0.0]] * 9 + [[1.0]] * 3)] * 20, per_epoch=100)
    assert seen.counts == (180, 60)
