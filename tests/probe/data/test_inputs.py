"""Looking at the inputs of the first layers: what is compared, what is told, and that no hook stays."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from lightning_nnguard.observation import ConstantInputSeen, InputShiftSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.feed import Feed
from lightning_nnguard.probe.data.hooks import InputHooks
from lightning_nnguard.probe.data.inputs import InputWatch
from lightning_nnguard.probe.ranks import Ranks
from tests.programs import hooks_in

FEED = Feed(layers={"0": frozenset({"batch[0]"})}, is_complete=True, targets=frozenset({"batch[1]"}))
Batch = Sequence[Tensor]


class _Two(Ranks):
    """Two ranks that have seen the same."""

    def gather(self, value: Any) -> Any:
        return [value, value]


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))


class Run:
    """A watched training."""

    def __init__(self, feed: Feed = FEED, model: nn.Module | None = None, ranks: Ranks | None = None, **known: Any) -> None:
        self.model = model or net()
        self.feeds: dict[str, Feed] = {"train": feed, "validate": feed}
        self.watch = InputWatch(
            self.model, {ConstantInputSeen, InputShiftSeen}, self.feeds.get, ranks=ranks or Ranks(), device=torch.device("cpu"),
            on_error=lambda error: pytest.fail(repr(error)),
        )  # fmt: skip
        self.watch.know(**{"population": 640, "steps_per_epoch": 10, **known})
        self.step = 0

    def train(self, batches: Sequence[Batch], epoch: int = 0) -> list[Seen]:
        told: list[Seen] = []
        for batch in batches:
            at = At(step=self.step, epoch=epoch, batch_index=self.step % 10)
            self.watch.start_batch(batch, at, sampled=True)
            self.model(batch[0])
            told += self.watch.observe(*(each.numpy() for each in self.watch.pack()), at)
            assert hooks_in(self.model) == []
            self.step += 1
        return told

    def validate(self, batches: Sequence[Batch], epoch: int = 0) -> list[InputShiftSeen]:
        at = At(step=self.step, epoch=epoch, batch_index=0)
        for index, batch in enumerate(batches):
            self.watch.start_evaluation_batch("validate", batch, at._replace(batch_index=index), 0)
            self.model(batch[0])
            self.watch.detach()
        part = self.watch.end_evaluation("validate", at)
        return list(self.watch.read_evaluation("validate", at, self.watch._ranks.gather(part)))


def rows(num: int = 64, *, scale: float = 1.0, shift: float = 0.0) -> Batch:
    return scale * torch.randn(num, 4) + shift, torch.arange(num) % 2


# -- validation against training


def test_sets_that_were_prepared_alike():
    run = Run()
    run.train([rows() for _ in range(20)])
    (seen,) = run.validate([rows(100) for _ in range(10)])
    assert (seen.where, seen.path, seen.num_train, seen.num_validation, seen.num_features) == ("0", "batch[0]", 1280, 1000, 4)
    assert seen.shift < 0.1
    assert seen.std_ratio == pytest.approx(1, abs=0.1)
    assert 0.02 < seen.shift_error < 0.1
    assert 0.005 < seen.std_ratio_error < 0.1
    assert (seen.is_train_standardised, seen.exact_fraction, seen.population) == (True, 0.0, 640)


def test_another_scale():
    run = Run()
    run.train([rows() for _ in range(20)])
    (seen,) = run.validate([rows(100, scale=5, shift=3) for _ in range(10)])
    assert seen.shift == pytest.approx(3, abs=0.3)
    assert seen.std_ratio == pytest.approx(5, abs=0.5)
    assert seen.validation_std == pytest.approx(5, abs=0.5)
    assert seen.train_std == pytest.approx(1, abs=0.1)


def test_one_feature_does_not_decide():
    run = Run()
    run.train([rows() for _ in range(20)])
    (seen,) = run.validate([(batch[0] + torch.tensor([9.0, 0, 0, 0]), batch[1]) for batch in (rows(100) for _ in range(10))])
    assert seen.shift < 0.2


def test_sorted_batches_make_the_shift_uncertain():
    run = Run()
    run.train([rows() for _ in range(20)])
    (seen,) = run.validate([rows(100, shift=float(i)) for i in range(10)])
    assert seen.shift == pytest.approx(4.5, abs=0.5)
    assert seen.shift_error == pytest.approx(3.03 / 10**0.5, abs=0.2)


def test_a_set_that_was_scaled_with_its_own_numbers():
    run = Run()
    run.train([rows() for _ in range(20)])
    own = torch.randn(500, 4) * 7 + 3
    for correction in (0, 1):
        exact = (own - own.mean(0)) / own.std(0, correction=correction)
        (seen,) = run.validate([(part, part) for part in exact.split(64)])
        assert (seen.exact_fraction, seen.num_validation) == (1.0, 500)


def test_batches_that_are_each_normalised_are_not_exact():
    def normalised(batch: Batch) -> Batch:
        x = batch[0]
        return (x - x.mean(0)) / x.std(0, correction=0), batch[1]

    run = Run()
    run.train([normalised(rows()) for _ in range(20)])
    (seen,) = run.validate([normalised(rows(100)) for _ in range(10)])
    assert seen.exact_fraction == 0.0


def test_images_are_compared_as_a_whole():
    run = Run(model=nn.Sequential(nn.Conv2d(1, 2, 3)))
    run.train([(torch.rand(64, 1, 5, 5), torch.zeros(64)) for _ in range(10)])
    images = torch.rand(600, 1, 5, 5)
    (seen,) = run.validate([(part, part) for part in ((images - images.mean()) / images.std()).split(100)])
    assert (seen.num_features, seen.exact_fraction, seen.is_train_standardised) == (0, 1.0, False)
    assert seen.shift == pytest.approx(0.5 * 12**0.5, abs=0.1)


def test_sparse_tables_are_compared_as_a_whole():
    rates = torch.tensor([0.3, 0.01, 0.01, 0.01])
    run = Run()
    run.train([(torch.bernoulli(rates.expand(64, 4)), torch.zeros(64)) for _ in range(20)])
    (seen,) = run.validate([(torch.bernoulli(rates.expand(100, 4)), torch.zeros(100)) for _ in range(10)])
    assert seen.num_features == 0
    assert seen.std_ratio == pytest.approx(1, abs=0.1)


def test_when_sets_are_compared():
    early, few, often = Run(steps_per_epoch=30), Run(), Run()
    early.train([rows() for _ in range(20)])
    assert early.validate([rows(600)]) == []
    few.train([rows(20) for _ in range(4)])
    assert few.validate([rows(600)]) == []
    often.train([rows() for _ in range(20)])
    assert [len(often.validate([rows(600)])) for _ in range(5)] == [1, 1, 1, 0, 0]


def test_only_the_first_loader_of_a_validation_is_compared():
    run = Run()
    run.train([rows() for _ in range(20)])
    run.watch.start_evaluation_batch("validate", rows(), At(step=20, epoch=1, batch_index=0), 1)
    run.watch.start_evaluation_batch("test", rows(), At(step=20, epoch=1, batch_index=0), 0)
    assert hooks_in(run.model) == []
    assert run.watch.end_evaluation("validate", At(step=20, epoch=1, batch_index=0)) is None


def test_layers_that_validation_gives_something_else_are_not_compared():
    run = Run()
    run.feeds["validate"] = Feed()
    run.train([rows() for _ in range(20)])
    assert run.validate([rows(600)]) == []


def test_ranks_are_merged():
    run = Run(ranks=_Two())
    run.train([rows() for _ in range(20)])
    (seen,) = run.validate([rows(100) for _ in range(10)])
    assert (seen.num_train, seen.num_validation) == (2560, 2000)


def test_a_rank_that_has_seen_nothing_silences_all():
    watch = Run().watch
    assert watch.read_evaluation("validate", At(step=0, epoch=0, batch_index=0), [None, None]) == ()


# -- samples among themselves


def told(feed: Feed, make: Callable[[], Batch], num: int = 5, model: nn.Module | None = None) -> list[ConstantInputSeen]:
    return [each for each in Run(feed, model).train([make() for _ in range(num)]) if isinstance(each, ConstantInputSeen)]


def alike() -> Batch:
    return torch.randn(1, 4).expand(16, 4).clone(), torch.arange(16) % 2


def test_samples_that_differ():
    (seen,) = told(FEED, lambda: rows(16))
    assert (seen.where, seen.num_samples, seen.num_batches, seen.num_alike, seen.num_telling) == ("0", 80, 5, 0, 0)
    assert (seen.num_features, seen.num_constant, seen.zero_fraction) == (4, 0, 0.0)


def test_samples_that_are_alike_within_each_batch():
    (seen,) = told(FEED, alike)
    assert (seen.num_alike, seen.num_telling, seen.num_constant) == (5, 5, 0)


def test_columns_that_are_constant_over_all_batches():
    columns = torch.tensor([0.0, 1, 1, 0])
    (seen,) = told(FEED, lambda: ((rows(16)[0].clamp(min=0) * columns + 3 * columns[0]), torch.arange(16)))
    assert (seen.num_features, seen.num_constant) == (4, 2)
    assert seen.zero_fraction == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(
    ("feed", "make"),
    [
        (FEED, lambda: (alike()[0], torch.zeros(16))),
        (FEED, lambda: (*alike(), torch.randn(16))),
        (FEED, lambda: (*alike(), torch.zeros(2, 40))),
        (Feed(layers=FEED.layers, is_complete=False, targets=FEED.targets), alike),
        (Feed(layers=FEED.layers, is_complete=True), alike),
    ],
    ids=["targets are alike", "something else differs", "edges of a graph", "another way in", "unknown targets"],
)
def test_samples_that_are_alike_and_do_not_tell(feed, make):
    assert [each.num_telling for each in told(feed, make)] == [0]


def test_all_inputs_must_be_alike():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.pairs = nn.Linear(4, 1), nn.Linear(4, 1), [rows(16)[0] for _ in range(5)]

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) + self.b(self.pairs.pop())

    feed = Feed(layers={name: frozenset({"batch[0]"}) for name in "ab"}, is_complete=True, targets=FEED.targets)
    assert {each.num_alike for each in told(feed, alike, model=Both())} == {0}


def test_features_that_do_not_change_with_time_do_not_tell():
    """Time comes first in the batch."""
    feed = Feed(layers={"": frozenset({"batch[0]"})}, is_complete=True, targets=FEED.targets)
    (seen,) = told(feed, lambda: (torch.randn(1, 16, 4).expand(7, 16, 4).clone(), torch.arange(16)), model=nn.GRU(4, 2))
    assert seen.num_telling == 0


# -- hooks


def test_hooks_see_keywords_and_packed_sequences_and_end():
    model, found = nn.ModuleDict({"rnn": nn.LSTM(2, 3), "a": nn.Linear(2, 1)}), []
    hooks = InputHooks(model, lambda path, module, source: found.append((path, tuple(source.shape))), pytest.fail)
    hooks.attach(["rnn", "a"])
    model["rnn"](pack_padded_sequence(torch.randn(5, 3, 2), torch.tensor([5, 4, 3])))
    model["a"](input=torch.randn(4, 2))
    assert found == [("rnn", (12, 2)), ("a", (4, 2))]
    hooks.remove()
    assert hooks_in(model) == []


def test_copies_of_the_model_are_not_watched():
    model, found = nn.Sequential(nn.Linear(2, 1)), []
    hooks = InputHooks(model, lambda path, module, source: found.append(path), pytest.fail)
    hooks.attach(["0"])
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        twin(torch.zeros(1, 2))
    assert found == []


def test_a_hook_that_raises_is_dead_and_the_forward_goes_on():
    model, errors = nn.Sequential(nn.Linear(2, 1)), []

    def take(path: str, module: nn.Module, source: Tensor) -> None:
        raise ValueError(path)

    hooks = InputHooks(model, take, errors.append)
    hooks.attach(["0"])
    for _ in range(2):
        model(torch.zeros(1, 2))
    assert [str(error) for error in errors] == ["0"]


def test_layers_of_a_fused_transformer_are_left_alone():
    model = nn.Sequential(nn.TransformerEncoderLayer(4, 1, 8))
    hooks = InputHooks(model, lambda path, module, source: None, pytest.fail)
    hooks.attach(["0.linear1"])
    assert hooks_in(model) == []
