from __future__ import annotations

from typing import Any

import pytest
import torch

from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.samples.digests import digest_batch
from lightning_nnguard.probe.samples.kept import Kept, Thinned
from lightning_nnguard.probe.samples.loading import Loading, ValidationLoader
from lightning_nnguard.probe.samples.validation import Part, Validations, change, changes_seen, overlaps_seen

AT = At(step=9, epoch=1, batch_index=0)
ROWS = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0))
LOADING = Loading(validation=(ValidationLoader(name="val_dataloader", is_fixed=True),))


def digests(rows: torch.Tensor) -> Any:
    found = digest_batch([rows], torch.device("cpu"))
    assert found is not None
    return found


def train(rows: torch.Tensor) -> Thinned:
    kept = Kept()
    kept.add(digests(rows).digests[1:].numpy())
    return kept.take()


def passed(*loaders: torch.Tensor, watch: Validations | None = None, is_rehearsal: bool = False) -> Any:
    watch = watch or Validations()
    for number, rows in enumerate(loaders):
        for index, part in enumerate(rows.split(100)):
            if watch.wants(At(step=0, epoch=0, batch_index=index), number):
                watch.take(digests(part), number)
    return watch.end(is_rehearsal=is_rehearsal)


def part(rows: torch.Tensor, *loaders: torch.Tensor) -> Part:
    return Part(train(rows), {number: now for number, (now, _) in passed(*loaders).items()}, {})


def overlaps(*parts: Part, loading: Loading = LOADING) -> list[Any]:
    return list(overlaps_seen(parts, loading, AT))


def test_shared_samples_are_counted() -> None:
    (seen,) = overlaps(part(ROWS[:1000], ROWS[950:1150]))
    assert (seen.num_shared, seen.num_validation, seen.num_train, seen.num_repeated) == (50, 200, 1000, 0)
    assert (seen.where, seen.shared_by, seen.step) == ("val_dataloader", "bytes", 9)


def test_nothing_is_shared() -> None:
    (seen,) = overlaps(part(ROWS[:1000], ROWS[1000:1200]))
    assert seen.num_shared == 0


def test_ranks_are_put_together_and_padding_counts_once() -> None:
    first = part(ROWS[0:1000:2], ROWS[1000:1100])
    second = part(ROWS[1:1000:2], torch.cat([ROWS[1100:1199], ROWS[1000:1001]]))
    (seen,) = overlaps(first, second)
    assert (seen.num_validation, seen.num_shared, seen.num_train) == (199, 0, 1000)
    leaky = part(ROWS[1:1000:2], ROWS[0:20:2])  # the samples that the other rank trains on
    (seen,) = overlaps(first, leaky)
    assert seen.num_shared == 10


def test_ranks_that_read_the_same_count_as_one() -> None:
    same = part(ROWS[:1000], ROWS[950:1150])
    (seen,) = overlaps(same, same)
    assert (seen.num_shared, seen.num_train, seen.num_repeated) == (50, 1000, 0)


def test_repeated_rows_of_training_are_counted() -> None:
    (seen,) = overlaps(part(ROWS[torch.arange(1000) % 10], ROWS[5:15]))
    assert (seen.num_shared, seen.num_repeated, seen.num_train) == (5, 1000, 1000)


def test_drawn_with_replacement_validation_says_what_is_natural() -> None:
    drawn = ROWS[torch.randint(1000, (1000,), generator=torch.Generator().manual_seed(0))]
    loading = Loading(replaces=True, validation=LOADING.validation)
    (seen,) = overlaps(part(drawn, ROWS[:200]), loading=loading)
    assert seen.num_repeated == 0
    (seen,) = overlaps(part(drawn, ROWS[torch.arange(200) % 100]), loading=loading)
    assert seen.num_repeated == 1000


def test_loaders_that_share_nothing() -> None:
    two = Loading(validation=[ValidationLoader(name=f"val_dataloaders[{i}]") for i in range(2)])
    first, second = overlaps(part(ROWS[:1000], ROWS[:100], ROWS[1000:1100]), loading=two)
    assert (first.num_shared, first.num_clean_loaders, second.num_shared) == (100, 1, 0)
    both = overlaps(part(ROWS[:1000], ROWS[:100], ROWS[100:200]), loading=two)
    assert [each.num_clean_loaders for each in both] == [0, 0]


def test_what_the_data_sets_told_is_not_told_again() -> None:
    (known,) = overlaps(part(ROWS[:1000], ROWS[:100]))
    assert overlaps(part(ROWS[:1000], ROWS[:100]), loading=Loading(validation=LOADING.validation, overlaps=(known,))) == []


def test_ranks_without_words() -> None:
    assert overlaps() == []
    assert overlaps(Part(None, {}, {})) == []


def changed(*runs: torch.Tensor, sanity: int = 0) -> Any:
    watch, found = Validations(), []
    for i, rows in enumerate(runs):
        (ended,) = passed(rows, watch=watch, is_rehearsal=i < sanity).values() or [(None, None)]
        found.append(change(*ended))
    return found


def test_changes() -> None:
    assert changed(ROWS[:500], ROWS[:500]) == [None, (500, 0, False)]
    assert changed(ROWS[:500], ROWS[10:510]) == [None, (500, 10, False)]
    assert changed(ROWS[:100], ROWS[:500], sanity=1)[1] == (100, 0, False), "the sanity check is short"
    assert changed(ROWS[:100], ROWS[100:600], ROWS[100:600], sanity=1)[1:] == [(100, 100, False), (500, 0, False)]


def test_only_two_validations_are_digested() -> None:
    watch = Validations()
    for _ in range(2):
        assert passed(ROWS[:100], watch=watch)
    assert passed(ROWS[:100], watch=watch) == {}
    assert watch.passes[0].num_batches == 1


def test_bounds() -> None:
    watch = Validations()
    assert watch.wants(At(step=0, epoch=0, batch_index=199), 7)
    assert not watch.wants(At(step=0, epoch=0, batch_index=200), 0)
    assert not watch.wants(At(step=0, epoch=0, batch_index=0), 8)


@pytest.mark.parametrize(("is_fixed", "num"), [(True, 1), (False, 0)])
def test_changes_over_ranks(is_fixed: bool, num: int) -> None:
    loading = Loading(validation=(ValidationLoader(name="val_dataloader", is_fixed=is_fixed),))
    parts = [Part(None, {}, {0: (100, 3, True)}), Part(None, {}, {0: (100, 0, False)}), Part(None, {}, {})]
    seen: list[Any] = changes_seen(parts, loading, AT)
    assert [(each.num_samples, each.num_changed, each.is_drawn) for each in seen] == [(200, 3, False)] * num


def test_shared_samples_that_no_chance_makes_equal() -> None:
    doubled = ROWS[torch.arange(1000) % 500]
    watched = {0: passed_with_columns(ROWS[400:600])}
    (seen,) = overlaps(Part(train(doubled), watched, {}))
    assert (seen.num_shared, seen.num_unlikely, seen.num_different, seen.num_repeated) == (100, 100, 500, 1000)
    (seen,) = overlaps(part(doubled, ROWS[400:600]))
    assert (seen.num_shared, seen.num_unlikely) == (100, 0), "nobody has looked at the columns"


def test_constant_samples_may_be_equal() -> None:
    idle = torch.arange(60.0)[:, None].expand(60, 4) / 7  # a sensor that holds still at many levels
    watched = {0: passed_with_columns(torch.cat([ROWS[:140], idle]))}
    (seen,) = overlaps(Part(train(torch.cat([ROWS[1000:], idle])), watched, {}))
    assert (seen.num_shared, seen.num_unlikely) == (60, 0)


def test_columns_of_most_batches_count() -> None:
    codes = torch.randint(3, (100, 4)) / 7
    assert not passed_with_columns(torch.cat([ROWS[:100], codes])).is_continuous
    assert passed_with_columns(torch.cat([ROWS[:200], codes])).is_continuous


def passed_with_columns(rows: torch.Tensor) -> Any:
    watch = Validations()
    for each in rows.split(100):
        found = digest_batch([each], torch.device("cpu"), columns=True)
        assert found is not None
        watch.take(found, 0)
    return watch.end(is_rehearsal=False)[0][0]
