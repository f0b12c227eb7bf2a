from __future__ import annotations

from typing import Any

import pytest
import torch

from lightning_nnguard.observation import OverlapSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.samples import watch as module
from lightning_nnguard.probe.samples.loading import Loading, ValidationLoader
from lightning_nnguard.probe.samples.watch import SampleWatch

CPU = torch.device("cpu")
LOADING = Loading(
    population=400, hands_on=False, sampler="RandomSampler", validation=(ValidationLoader(name="val_dataloader", is_fixed=True),)
)
ROWS = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))


def watched(loading: Loading = LOADING) -> SampleWatch:
    watch = SampleWatch(ranks=Ranks(), device=CPU)
    watch.know(loading)
    return watch


def sample(watch: SampleWatch, at: At) -> list[Any]:
    sums, maxima = watch.pack()
    assert (len(sums), len(maxima)) == watch.sizes
    return list(watch.observe(sums.numpy(), maxima.numpy(), at))


def train(watch: SampleWatch, batches: Any, every: int = 5, epoch: int = 0) -> list[Any]:
    told = []
    for index, batch in enumerate(batches):
        at = At(step=epoch * len(batches) + index, epoch=epoch, batch_index=index)
        watch.start_batch([batch], at, sampled=index % every == 0)
        if index % every == 0:
            told += sample(watch, at)
    return told


def validate(watch: SampleWatch, rows: torch.Tensor, stage: Any = "validate") -> list[Any]:
    for index, batch in enumerate(rows.split(20)):
        watch.start_evaluation_batch(stage, [batch], At(step=20, epoch=0, batch_index=index), 0)
    at = At(step=20, epoch=0, batch_index=0)
    part = watch.end_evaluation(stage, at)
    return list(watch.read_evaluation(stage, at, [part]))


def kinds(told: list[Any]) -> list[str]:
    return [type(each).__name__ for each in told]


def test_a_repeated_batch() -> None:
    told = train(watched(), [ROWS[:20]] * 20)
    assert kinds(told) == ["RepeatedBatchSeen"] * 2
    assert [each.num_batches for each in told] == [6, 16]


def test_the_order_of_epochs() -> None:
    watch = watched()
    assert train(watch, ROWS.split(20)) == []
    assert kinds(train(watch, ROWS.split(20), epoch=1)) == ["EpochOrderSeen"]


def test_validation_among_the_first_epoch() -> None:
    watch = watched()
    assert train(watch, ROWS.split(20)) == []
    (seen,) = validate(watch, ROWS[-30:])
    assert (seen.num_shared, seen.num_validation, seen.num_train) == (30, 30, 400), "batches that wait are read, too"
    assert kinds(validate(watch, ROWS[-30:])) == ["ValidationChangeSeen"], "nothing is new but the second validation"
    assert validate(watch, ROWS[-30:]) == []


def test_what_the_data_sets_tell_is_told_with_the_first_sampled_step() -> None:
    known = OverlapSeen(where="val_dataloader", step=0, epoch=0, shared_by="data set", num_validation=9, num_shared=9, num_train=9)
    watch = watched(Loading(validation=LOADING.validation, overlaps=(known,)))
    (seen,) = train(watch, ROWS.split(20), epoch=3)
    assert (seen.where, seen.step, seen.epoch) == ("val_dataloader", 60, 3)


def test_placeholders_may_serve_training_and_validation() -> None:
    known = OverlapSeen(where="val_dataloader", step=0, epoch=0, shared_by="data set", num_validation=9, num_shared=9, num_train=9)
    watch = watched(Loading(validation=LOADING.validation, overlaps=(known,)))
    assert "OverlapSeen" not in kinds(train(watch, torch.zeros(20, 4, 1)))
    assert kinds(train(watch, torch.arange(8.0).view(2, 4), epoch=1)) == ["OverlapSeen"]


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_other_stages(stage: Any) -> None:
    watch = watched()
    train(watch, ROWS.split(20))
    assert validate(watch, ROWS[:40], stage) == []


def test_a_rehearsal_is_not_watched() -> None:
    watch = watched(Loading(is_rehearsal=True, sampler="RandomSampler", validation=LOADING.validation))
    assert train(watch, [ROWS[:20]] * 20) == []
    assert validate(watch, ROWS[:20]) == []
    unknown = SampleWatch(ranks=Ranks(), device=CPU)
    assert train(unknown, [ROWS[:20]] * 20) == []


def test_later_batches_are_not_digested(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    digest = module.digest_batch
    monkeypatch.setattr(module, "digest_batch", lambda batch, device: seen.append(1) or digest(batch, device))
    watch = watched()
    batches = torch.randn(250, 2, 4).unbind()
    train(watch, batches)
    assert len(seen) == 200
    for epoch in range(1, 10):
        train(watch, batches, epoch=epoch)
    assert len(seen) == 200 + 3 * 8


def test_batches_without_samples() -> None:
    watch = watched()
    assert train(watch, ["text", None, torch.tensor(1.0)] * 5) == []
    graphs = [{"x": torch.randn(9, 4), "edges": torch.zeros(2, 5)} for _ in range(4)]
    assert train(watch, graphs, epoch=1) == []
    assert validate(watch, ROWS[:20]) == []


def test_on_an_accelerator_digests_are_read_one_sampled_step_later(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = watched()
    monkeypatch.setattr(module, "_is_here", lambda digests: False)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, pin_memory=False, **kwargs: empty(*args, **kwargs))
    told = []
    for index in range(12):
        at = At(step=index, epoch=0, batch_index=index)
        watch.start_batch([ROWS[:20]], at, sampled=index in {5, 11})
        if index in {5, 11}:
            told.append(sample(watch, at))
    assert told[0] == [], "what step 5 has sent is known after step 5 has said that it has no words"
    assert [each.num_batches for each in told[1]] == [6, 12]
