"""Labels of a validation against those of training: when they are compared, and by what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_nnguard.observation import LabelShiftSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.feed import Feed, Labels
from lightning_nnguard.probe.data.label_shift import label_shift
from lightning_nnguard.probe.data.labels import LabelWatch
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.samples.loading import Loading, ValidationLoader

LABELS = Labels(path="batch[1]", num_classes=3, ignore_index=-100)
FEED = Feed(labels=LABELS)
VALIDATION = ValidationLoader(name="val_dataloader", is_fixed=True, num_batches=2)
KNOWN: dict[str, Any] = {"is_even": True, "sampler": "RandomSampler", "validation": (VALIDATION,)}
SORTED = [torch.tensor([2] * 20), torch.tensor([2] * 10 + [1] * 10)]
AT = At(step=90, epoch=1, batch_index=0)


def trained(feed: Feed | None = FEED, num: int = 20, per_epoch: int = 10, **loading: Any) -> LabelWatch:
    feeds = {"train": FEED, "validate": feed}
    watch = LabelWatch(feeds.get, ranks=Ranks(), device=torch.device("cpu"))  # type: ignore[arg-type]
    watch.know(Loading(**{**KNOWN, **loading}))
    for step in range(num):
        at = At(step=step, epoch=step // per_epoch, batch_index=step % per_epoch)
        watch.start_batch((torch.zeros(10), torch.tensor([0, 1] * 5)), at, sampled=False)
    return watch


def validate(watch: LabelWatch, batches: list[Tensor], stage: Any = "validate", loader: int = 0, ranks: int = 1) -> list[Seen]:
    for i, target in enumerate(batches):
        watch.start_evaluation_batch(stage, (torch.zeros(len(target)), target), At(step=90, epoch=1, batch_index=i), loader)
    return list(watch.read_evaluation(stage, AT, [watch.end_evaluation(stage, AT)] * ranks))


def test_a_sorted_split():
    (seen,) = validate(trained(), SORTED)
    assert isinstance(seen, LabelShiftSeen)
    assert (seen.where, seen.num_classes, seen.num_train, seen.num_validation) == ("batch[1]", 3, 100, 40)
    assert (seen.distance, seen.unseen_fraction) == (0.75, 0.75)
    assert (seen.label, seen.train_share, seen.validation_share) == (2, 0.0, 0.75)


def test_it_is_told_once():
    watch = trained()
    assert len(validate(watch, SORTED)) == 1
    assert validate(watch, SORTED) == []


def test_labels_of_two_ranks_add_up():
    (seen,) = validate(trained(), SORTED, ranks=2)
    assert isinstance(seen, LabelShiftSeen)
    assert (seen.num_train, seen.num_validation, seen.distance) == (200, 80, 0.75)


def test_a_rank_that_has_seen_nothing_leaves_the_comparison_out():
    watch = trained()
    assert watch.read_evaluation("validate", AT, [([50, 50, 0], [0, 0, 40]), None]) == ()


def test_ignored_labels_do_not_count():
    (seen,) = validate(trained(), [SORTED[0], torch.tensor([-100] * 20)])
    assert isinstance(seen, LabelShiftSeen)
    assert seen.num_validation == 20


def test_many_shuffled_labels_are_enough_before_the_epoch_is_over():
    assert len(validate(trained(num=100, per_epoch=1000), SORTED)) == 1
    assert validate(trained(num=99, per_epoch=1000), SORTED) == []
    assert validate(trained(num=100, per_epoch=1000, sampler=""), SORTED) == []  # in order: the rest may be of other classes


def test_training_in_order_must_be_seen_as_a_whole():
    def in_order(first: int, per_epoch: int) -> list[Seen]:
        watch = trained(num=0, sampler="")
        for step in range(first, per_epoch + 1):
            at = At(step=step, epoch=step // per_epoch, batch_index=step % per_epoch)
            watch.start_batch((torch.zeros(10), torch.tensor([0, 1] * 5)), at, sampled=step % 10 == 0)
        return validate(watch, SORTED)

    assert len(in_order(1, 11)) == 1
    assert in_order(1, 10) == []  # the first batch is more than a tenth of the last index
    assert len(in_order(0, 200)) == 1
    assert in_order(0, 210) == []  # of later batches only some are counted


@pytest.mark.parametrize(
    "changes",
    [
        {"is_even": False},
        {"is_rehearsal": True},
        {"validation": ()},
        {"validation": (ValidationLoader(name="val_dataloader", num_batches=2),)},
        {"validation": (ValidationLoader(name="val_dataloader", is_fixed=True, num_batches=3),)},
        {"validation": (ValidationLoader(name="val_dataloader", is_fixed=True),)},
        {"feed": None},
        {"feed": Feed()},
        {"feed": Feed(labels=Labels(path="batch[2]", num_classes=3, ignore_index=-100))},
    ],
    ids=["weighted", "rehearsal", "no loader", "not fixed", "a part", "unknown length", "not audited", "no labels", "other labels"],
)
def test_sets_that_are_not_comparable(changes):
    assert validate(trained(**changes), SORTED) == []


def test_neither_tests_nor_further_loaders_are_compared():
    assert validate(trained(), SORTED, stage="test") == []
    assert validate(trained(), SORTED, loader=1) == []


@pytest.mark.parametrize(
    ("train", "validation", "expected"),
    [
        ([100, 100, 100], [90, 5, 5], True),
        ([950, 25, 25], [10, 10, 10], True),
        ([100, 90, 70], [96, 4, 0], True),
        ([100, 90, 69], [90, 5, 5], False),
        ([60, 60, 12], [0, 0, 36], False),
        ([40, 40, 0], [0, 20, 0], False),  # sorted, in equal parts by chance
    ],
)
def test_sets_that_were_balanced(train, validation, expected):
    (seen,) = label_shift(LABELS, train, validation, AT)
    assert seen.is_rebalanced is expected


def test_nothing_is_told_without_counts():
    assert label_shift(LABELS, [0, 0, 0], [1, 0, 0], AT) == []
    assert label_shift(LABELS, [1, 0, 0], [0, 0, 0], AT) == []


@pytest.mark.parametrize(
    ("num_classes", "num_train", "num_validation"), [(3, 142, 36), (10, 1400, 30), (100, 5000, 200), (1000, 2000, 300)]
)
def test_chance_bounds_random_splits(num_classes, num_train, num_validation):
    generator = torch.Generator().manual_seed(0)
    distances, chances = [], []
    for _ in range(20):
        labels = torch.randint(num_classes, (num_train + num_validation,), generator=generator)
        sides = [part.bincount(minlength=num_classes).tolist() for part in labels.split([num_train, num_validation])]
        (seen,) = label_shift(Labels(path="batch[1]", num_classes=num_classes, ignore_index=None), *sides, AT)
        distances.append(seen.distance)
        chances.append(seen.chance)
    assert sum(distances) / 20 <= sum(chances) / 20 <= 1
    assert max(distances) < min(chances) + 0.3
