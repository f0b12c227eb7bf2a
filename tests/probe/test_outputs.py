"""What loss functions get: the rows that are taken, how they spread, and which classes they predict."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_nnguard.observation import OutputSpreadSeen, PredictionsSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.frames import Caller
from lightning_nnguard.probe.outputs import rows as rows_module
from lightning_nnguard.probe.outputs.rows import Rows, rows_of
from lightning_nnguard.probe.outputs.watch import KINDS, OutputWatch
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks

USER = Caller(path="net", module_id=1, is_library=False, source="train.py:48", functions=())


def taken(name: str, source: Tensor, target: Tensor, **kwargs: Any) -> Rows:
    rows = rows_of(name, (source, target), kwargs)
    assert rows is not None
    return rows


# -- rows


def test_rows_of_logits_are_probabilities() -> None:
    rows = taken("cross_entropy", torch.tensor([[0.0, 2.0], [3.0, 0.0]]), torch.tensor([1, -100]))
    torch.testing.assert_close(rows.outputs.sum(1), torch.ones(2))
    assert (rows.predictions.tolist(), rows.classes.tolist(), rows.is_valid.tolist()) == ([1, 0], [1, 0], [True, False])
    assert rows.num_classes == 2


def test_log_probabilities_stay_what_they_are() -> None:
    scores = torch.randn(4, 3)
    one, other = taken("cross_entropy", scores, torch.arange(4) % 3), taken("nll_loss", scores.log_softmax(1), torch.arange(4) % 3)
    torch.testing.assert_close(one.outputs, other.outputs)


def test_positions_go_with_their_targets() -> None:
    target = torch.randint(5, (3, 4, 6))
    scores = F.one_hot(target, 5).permute(0, 3, 1, 2).float()
    rows = taken("cross_entropy", scores, target)
    assert len(rows.targets) == 72
    assert torch.equal(rows.predictions, rows.classes)


def test_channels_last_images_and_transposed_texts_are_read_alike() -> None:
    target = torch.randint(5, (3, 4, 6))
    scores = F.one_hot(target, 5).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
    assert torch.equal(taken("cross_entropy", scores, target).predictions, target.flatten())
    text = F.one_hot(target[0], 5).float().transpose(1, 2)
    assert torch.equal(taken("cross_entropy", text, target[0]).predictions, target[0].flatten())


def test_targets_that_are_probabilities_have_a_class() -> None:
    rows = taken("cross_entropy", torch.randn(2, 3), torch.tensor([[0.1, 0.2, 0.7], [0.9, 0.1, 0.0]]))
    assert rows.classes.tolist() == [2, 0]


def test_a_single_output_has_two_classes() -> None:
    rows = taken("binary_cross_entropy_with_logits", torch.tensor([[-1.0], [2.0]]), torch.tensor([[1.0], [1.0]]))
    assert (rows.predictions.tolist(), rows.classes.tolist(), rows.num_classes) == ([0, 1], [1, 1], 2)
    assert taken("binary_cross_entropy", torch.tensor([0.2, 0.8]), torch.ones(2)).predictions.tolist() == [0, 1]
    assert taken("binary_cross_entropy_with_logits", torch.randn(2, 1, 5, 5), torch.ones(2, 1, 5, 5)).outputs.shape == (50, 1)


def test_several_labels_have_no_class() -> None:
    assert taken("binary_cross_entropy_with_logits", torch.randn(8, 3), torch.ones(8, 3)).num_classes == 0
    assert taken("mse_loss", torch.randn(8, 1), torch.ones(8, 1)).num_classes == 0


def test_a_sample_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "_MAX_VALUES", 2**10)
    assert len(taken("mse_loss", torch.randn(5000, 3), torch.randn(5000, 3)).outputs) == 1024
    assert len(taken("cross_entropy", torch.randn(5000, 10), torch.randint(10, (5000,))).outputs) == 102
    assert taken("mse_loss", torch.randn(9, 30, 30), torch.randn(9, 30, 30)).outputs.shape == (9, 256)


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("mse_loss", torch.randn(8, 1), torch.randn(8)),
        ("mse_loss", torch.zeros(0, 1), torch.zeros(0, 1)),
        ("mse_loss", torch.randn(()), torch.randn(())),
        ("cross_entropy", torch.randn(8, 1), torch.zeros(8, dtype=torch.long)),
        ("cross_entropy", torch.randn(8, 3), torch.zeros(4, dtype=torch.long)),
        ("cross_entropy", torch.randn(8, 3), 4),
        ("mse_loss", torch.randn(8, 2).to_sparse(), torch.randn(8, 2)),
    ],
    ids=["shapes", "empty", "scalar", "one class", "too few targets", "no tensor", "sparse"],
)
def test_unusual_calls_are_passed_over(name: str, source: Any, target: Any) -> None:
    assert rows_of(name, (source, target), {}) is None


# -- spread


class Watched:
    """A watch over training and validation without a model."""

    def __init__(self, *, ranks: Ranks | None = None) -> None:
        self.errors: list[Exception] = []
        self.model = torch.nn.Linear(3, 3)
        parameters = Parameters(self.model, Ranks())
        self.watch = OutputWatch(
            KINDS, parameters, ranks=ranks or Ranks(), in_warmup=lambda: False, on_error=self.errors.append
        )  # fmt: skip
        self.step = 0

    def call(self, name: str, source: Tensor, target: Tensor, **kwargs: Any) -> None:
        result = getattr(F, name)(source, target, **kwargs)
        self.watch.on_loss(name, (source, target), kwargs, result, USER)

    def pack(self, name: str, *pairs: tuple[Tensor, Tensor], batch: Any = None) -> Tensor:
        at = At(step=self.step, epoch=0, batch_index=self.step)
        self.watch.start_batch([target for _, target in pairs] if batch is None else batch, at, sampled=True)
        for source, target in pairs:
            self.call(name, source.requires_grad_(), target)
        sums, maxima = self.watch.pack()
        assert (len(sums), len(maxima)) == self.watch.sizes
        return sums

    def observe(self, sums: Tensor) -> list[OutputSpreadSeen]:
        at = At(step=self.step, epoch=0, batch_index=self.step)
        self.step += 10
        return list(self.watch.observe(sums.numpy(), torch.zeros(0).numpy(), at))  # type: ignore[arg-type]

    def train(self, name: str, *pairs: tuple[Tensor, Tensor], batch: Any = None) -> list[OutputSpreadSeen]:
        return self.observe(self.pack(name, *pairs, batch=batch))


def test_ratio_of_a_regression() -> None:
    target = torch.randn(64, 1)
    (seen,) = Watched().train("mse_loss", (0.1 * target + 7, target))
    assert seen.ratio == pytest.approx(0.1, rel=1e-4)
    assert (seen.where, seen.function, seen.num_rows, seen.num_samples) == ("net.mse_loss()", "mse_loss", 64, 1)


@pytest.mark.parametrize("name", ["l1_loss", "huber_loss", "smooth_l1_loss", "mse_loss"])
def test_constant_outputs(name: str) -> None:
    watched, target = Watched(), torch.randn(64)
    for _ in range(10):
        (seen,) = watched.train(name, (torch.full((64,), 3.0), target))
    assert (seen.ratio_max, seen.num_samples, seen.span) == (0.0, 8, 70)


def test_ratio_of_a_classification_is_that_of_its_probabilities() -> None:
    target = torch.arange(60) % 3
    (perfect,) = Watched().train("cross_entropy", (100 * F.one_hot(target, 3).float(), target))
    (constant,) = Watched().train("cross_entropy", (torch.tensor([[0.0, 5.0, 1.0]]).repeat(60, 1), target))
    (binary,) = Watched().train(
        "binary_cross_entropy_with_logits", (200.0 * (target[:, None] > 0) - 100, (target[:, None] > 0).float())
    )
    assert perfect.ratio == pytest.approx(1.0, abs=1e-3)
    assert binary.ratio == pytest.approx(1.0, abs=1e-3)
    assert constant.ratio == pytest.approx(0.0, abs=1e-6)


def test_ignored_targets_do_not_count() -> None:
    target = torch.cat([torch.arange(20) % 2, torch.full((20,), -100)])
    scores = torch.cat([torch.zeros(20, 2), 9 * torch.randn(20, 2)])
    (seen,) = Watched().train("cross_entropy", (scores, target))
    assert (seen.ratio, seen.num_rows) == (0.0, 20)


@pytest.mark.parametrize(
    ("target", "batch"),
    [
        (torch.ones(64), None),
        (torch.randn(64), (torch.randn(64),)),
        (torch.randn(7), None),
        (torch.full((64,), torch.nan), None),
    ],
    ids=["constant, as a critic's", "made up by the step", "few", "nan"],
)
def test_targets_that_tell_nothing(target: Tensor, batch: Any) -> None:
    assert Watched().train("mse_loss", (torch.zeros(len(target)), target), batch=batch) == []


def test_losses_that_nobody_trains_are_passed_over() -> None:
    watched, target = Watched(), torch.randn(64)
    watched.watch.start_batch([target], At(0, 0, 0), sampled=True)
    watched.call("mse_loss", torch.zeros(64), target)
    assert watched.observe(watched.watch.pack()[0]) == []


def test_calls_of_one_step_are_told_apart() -> None:
    target, other = torch.randn(64), torch.randn(64)
    one, two = Watched().train("mse_loss", (target.clone(), target), (0 * other, other))
    assert (one.where, two.where) == ("net.mse_loss()", "net.mse_loss()#2")
    assert (one.ratio, two.ratio) == (pytest.approx(1.0), 0.0)


def test_ranks_are_merged() -> None:
    ranks, target = [Watched(ranks=Ranks(rank=rank, world_size=2)) for rank in range(2)], torch.randn(64)
    packed = [each.pack("mse_loss", (share * target, target.clone())) for each, share in zip(ranks, (0.0, 1.0), strict=True)]
    both = [each.observe(packed[0] + packed[1])[0] for each in ranks]
    assert both[0] == both[1]
    assert both[0].ratio == pytest.approx(0.5**0.5)


def test_a_rank_whose_targets_are_all_alike_does_not_count() -> None:
    ranks, target = [Watched(ranks=Ranks(rank=rank, world_size=2)) for rank in range(2)], torch.randn(64)
    packed = [each.pack("mse_loss", (0.5 * target, goal)) for each, goal in zip(ranks, (target, torch.ones(64)), strict=True)]
    assert ranks[0].observe(packed[0] + packed[1])[0].ratio == pytest.approx(0.5)


class Waits(TorchDispatchMode):
    """Refuses what waits for an accelerator."""

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> object:
        assert func.overloadpacket.__name__ not in {"_local_scalar_dense", "nonzero", "bincount", "masked_select", "item"}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("cross_entropy", torch.randn(8, 3, 5), torch.zeros(8, 5, dtype=torch.long)),
        ("binary_cross_entropy_with_logits", torch.randn(8, 1), torch.ones(8, 1)),
        ("mse_loss", torch.randn(8, 1), torch.randn(8, 1)),
    ],
)
def test_nothing_waits_for_the_device(name: str, source: Tensor, target: Tensor) -> None:
    watched = Watched()
    with pytest.raises(AssertionError), Waits():
        bool(target.sum() > 0)
    with Waits():
        watched.pack(name, (source, target))
        watched.watch.start_evaluation_batch("validate", (), At(200, 1, 0), 0)
        watched.call(name, source, target)
    assert watched.errors == []


# -- predictions


def validated(
    watched: Watched, *batches: tuple[Tensor, Tensor], loader: int = 0, step: int = 200, name: str = "cross_entropy", first: int = 0
) -> list[PredictionsSeen]:
    parts = [_part(watched, *batches, loader=loader, step=step, name=name, first=first)]
    return list(watched.watch.read_evaluation("validate", At(step, 1, 0), parts))  # type: ignore[arg-type]


def _part(watched: Watched, *batches: tuple[Tensor, Tensor], loader: int, step: int, name: str, first: int = 0) -> object:
    for index, (source, target) in enumerate(batches, first):
        watched.watch.start_evaluation_batch("validate", (), At(step, 1, index), loader)
        watched.call(name, source, target)
    return watched.watch.end_evaluation("validate", At(step, 1, 0))


def labelled(num: int = 60, num_classes: int = 3) -> Tensor:
    return torch.arange(num) % num_classes


def one_class(num: int = 60, num_classes: int = 3) -> Tensor:
    return F.one_hot(torch.full((num,), 1), num_classes).float()


def test_all_of_one_class() -> None:
    watched = Watched()
    watched.train("cross_entropy", (9 * F.one_hot(labelled(), 3).float(), labelled()))
    (seen,) = validated(watched, (one_class(), labelled()), (one_class(), labelled()))
    assert (seen.top_class, seen.top_share, seen.right_share, seen.majority_share) == (1, 1.0, 1 / 3, 1 / 3)
    assert (seen.num_predictions, seen.num_batches, seen.num_present, seen.num_classes) == (120, 2, 3, 3)
    assert (seen.num_train, seen.train_accuracy, seen.train_majority_share) == (60, 1.0, 1 / 3)
    assert (seen.where, seen.stage, seen.source) == ("net.cross_entropy()", "validate", "train.py:48")


@pytest.mark.parametrize(("num", "accuracy"), [(60, 1 / 3), (16, 65 / 76)], ids=["one new batch", "two new batches"])
def test_training_that_got_worse_has_not_learned(num: int, accuracy: float) -> None:
    watched, right = Watched(), (9 * F.one_hot(labelled(), 3).float(), labelled())
    for batch in (right, right, right, (one_class(num), labelled(num))):
        watched.train("cross_entropy", batch)
    (seen,) = validated(watched, (one_class(), labelled()))
    assert seen.train_accuracy == pytest.approx(accuracy, abs=0.01)


def test_an_evaluation_starts_afresh() -> None:
    watched = Watched()
    validated(watched, (one_class(), labelled()))
    (seen,) = validated(watched, (F.one_hot(labelled(), 3).float(), labelled()))
    assert (seen.top_share, seen.num_predictions, seen.num_train) == (1 / 3, 60, 0)


def test_ignored_targets_are_no_predictions() -> None:
    (seen,) = validated(Watched(), (one_class(), labelled().where(labelled() > 0, -100)))
    assert (seen.num_predictions, seen.num_present) == (40, 2)


def test_loaders_are_told_apart() -> None:
    (seen,) = validated(Watched(), (one_class(), labelled()), loader=1)
    assert seen.where == "net.cross_entropy() of loader 1"


def test_ranks_count_together() -> None:
    ranks = [Watched(ranks=Ranks(rank=rank, world_size=2)) for rank in range(2)]
    sources = one_class(), F.one_hot(labelled(), 3).float()
    parts = [
        _part(each, (source, labelled()), loader=0, step=200, name="cross_entropy")
        for each, source in zip(ranks, sources, strict=True)
    ]
    (one,), (other,) = (each.watch.read_evaluation("validate", At(200, 1, 0), parts) for each in ranks)
    assert one == other
    assert isinstance(one, PredictionsSeen)
    assert (one.num_predictions, one.top_share) == (120, 80 / 120)


@pytest.mark.parametrize(("num", "expected"), [(256, {0, 1, 2, 3, 4, 8, 16}), (60, {0, 1, 2, 3, 4, 8, 16}), (24, {*range(11), 16})])
def test_a_sample_of_the_batches(num: int, expected: set[int]) -> None:
    watched, chosen = Watched(), set[int]()
    for index in range(20):
        at = At(200, 1, index)
        if watched.watch.wants_batch("validate", at, 0):
            chosen.add(index)
        watched.watch.start_evaluation_batch("validate", (), at, 0)
        watched.call("cross_entropy", one_class(num), labelled(num))
    assert chosen == expected
    assert watched.watch._predictions is not None
    assert watched.watch._predictions.num_taken(0) == num * len(chosen)


def test_nothing_is_looked_at_before_the_run_has_got_somewhere() -> None:
    assert not Watched().watch.wants_batch("validate", At(99, 1, 0), 0)
    assert Watched().watch.wants_batch("validate", At(100, 1, 0), 0)
    assert not Watched().watch.wants_batch("test", At(200, 1, 0), 0)
    assert validated(Watched(), (one_class(), labelled()), step=99) == []


def test_weights_that_are_exchanged_for_an_evaluation() -> None:
    watched = Watched()
    watched.watch.start_evaluation_batch("validate", (), At(200, 1, 0), 0)
    watched.call("cross_entropy", one_class(), labelled())
    with torch.no_grad():
        watched.model.weight.data.copy_(torch.ones(3, 3))
    assert watched.watch.end_evaluation("validate", At(200, 1, 0)) is None
    (seen,) = validated(watched, (one_class(), labelled()))
    assert seen.num_predictions == 60


def test_indices_within_a_batch_are_no_classes() -> None:
    batches = [(torch.eye(num), torch.arange(num)) for num in (64, 40)]
    (seen,) = validated(Watched(), *batches)
    assert seen.num_predictions == 40


def test_an_error_ends_the_watch_and_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> Rows:
        raise ValueError("odd")

    monkeypatch.setattr("lightning_nnguard.probe.outputs.watch.rows_of", broken)
    watched, target = Watched(), torch.randn(64)
    for _ in range(2):
        assert watched.train("mse_loss", (torch.zeros(64), target)) == []
    assert [str(error) for error in watched.errors] == ["odd"]


def test_no_batch_is_kept() -> None:
    for end in (lambda watch: watch.pack(), lambda watch: watch.start_batch((), At(1, 0, 1), sampled=False)):
        watched = Watched()
        watched.watch.start_batch([torch.zeros(3)], At(0, 0, 0), sampled=True)
        assert len(watched.watch._data) == 1
        end(watched.watch)
        assert watched.watch._data == []
