"""Counting of classes beside the weights that a loss is given: what counts, what does not, and all ranks together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from lightning_nnguard.observation import ClassWeightsSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.frames import Caller
from lightning_nnguard.probe.outputs.class_weights import ClassWeightCollector
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.samples.loading import Loading

WHO = Caller(path="head", module_id=0, is_library=False, source=None, functions=())
RARE = torch.tensor([0.0, 0.0, 0.0, 1.0])


def collector(ranks: Ranks | None = None) -> ClassWeightCollector:
    return ClassWeightCollector(ranks=ranks or Ranks(), device=torch.device("cpu"), on_error=pytest.fail)


def binary(target: Tensor, **kwargs: Any) -> tuple[str, tuple[Tensor, Tensor], dict[str, Any]]:
    return "binary_cross_entropy_with_logits", (torch.zeros_like(target, requires_grad=True), target), kwargs


def classes(target: Tensor, weight: Tensor, **kwargs: Any) -> tuple[str, tuple[Tensor, Tensor], dict[str, Any]]:
    num, *rest = target.shape
    source = torch.zeros(num, len(weight), *rest, requires_grad=True)
    return "cross_entropy", (source, target), {"weight": weight, **kwargs}


def told(watch: ClassWeightCollector, *calls: Any, num: int = 8) -> list[ClassWeightsSeen]:
    seen: list[Any] = []
    for step in range(num):
        name, args, kwargs = calls[step % len(calls)]
        watch.on_loss(name, args, kwargs, getattr(F, name)(*args, **kwargs), WHO)
        sums, maxima = watch.pack()
        assert (len(sums), len(maxima)) == watch.sizes
        seen += watch.observe(sums.numpy(), maxima.numpy(), At(step=step, epoch=0, batch_index=step))
    return seen


def test_shares_and_their_errors() -> None:
    weight = torch.tensor([0.5])
    (seen,) = told(collector(), binary(RARE, pos_weight=weight), binary(1 - RARE, pos_weight=weight))
    assert (seen.where, seen.weights, seen.shares) == ("head.binary_cross_entropy_with_logits()", (1.0, 0.5), (0.5, 0.5))
    assert (seen.num_targets, seen.num_batches) == (32, 8)
    assert seen.errors == pytest.approx((0.25 / 7**0.5,) * 2)


def test_classes_without_those_that_are_ignored() -> None:
    target = torch.tensor([[0, 0, 1, 2], [0, 0, 0, -100]])
    (seen,) = told(collector(), classes(target, torch.tensor([3.0, 2.0, 1.0])))
    assert seen.shares == pytest.approx((5 / 7, 1 / 7, 1 / 7))
    assert (seen.weights, seen.num_targets) == ((3.0, 2.0, 1.0), 56)
    (seen,) = told(collector(), classes(target.clamp(min=0), torch.tensor([3.0, 2.0, 1.0]), ignore_index=0))
    assert seen.shares == (0.0, 0.5, 0.5)


def test_a_batch_of_ignored_targets_counts_for_nothing() -> None:
    weight = torch.tensor([2.0, 1.0])
    (seen,) = told(collector(), classes(torch.tensor([0, 0, 1]), weight), classes(torch.tensor([-100]), weight))
    assert (seen.shares, seen.num_batches) == (pytest.approx((2 / 3, 1 / 3)), 4)


@pytest.mark.parametrize("changes", [{"replaces": True}, {"is_even": False}])
def test_where_samples_are_not_drawn_evenly_weights_may_correct_for_that(changes: dict[str, bool]) -> None:
    watch = collector()
    watch.know(Loading(**{"is_even": True, **changes}))
    assert told(watch, binary(RARE, pos_weight=torch.tensor([0.5]))) == []
    watch = collector()
    watch.know(Loading(is_even=True))
    assert told(watch, binary(RARE, pos_weight=torch.tensor([0.5])))


def test_told_with_growing_distance() -> None:
    seen = told(collector(), binary(RARE, pos_weight=torch.tensor(0.5)), num=40)
    assert [each.num_batches for each in seen] == [8, 10, 12, 15, 18, 22, 27, 33]


@pytest.mark.parametrize(
    "calls",
    [
        [binary(RARE)],
        [binary(RARE, pos_weight=torch.tensor(0.5), reduction="none")],
        [binary(RARE, pos_weight=torch.tensor(0.5), weight=torch.ones(4))],
        [binary(RARE.view(2, 2), pos_weight=torch.tensor(0.5))],
        [binary(RARE.view(2, 2), pos_weight=torch.tensor([0.5, 0.2]))],
        [binary(0.9 * RARE, pos_weight=torch.tensor(0.5))],
        [binary(RARE, pos_weight=torch.tensor(0.5)), binary(RARE, pos_weight=torch.tensor(0.6))],
        [classes(torch.tensor([0, 1]), torch.tensor([1.0, 2.0])), classes(torch.tensor([0, 1]), torch.tensor([1.0, 2.0, 1.0]))],
        [("cross_entropy", (torch.zeros(2, 2, requires_grad=True), torch.eye(2)), {"weight": torch.tensor([1.0, 2.0])})],
        [("cross_entropy", (torch.zeros(2, 2), torch.tensor([0, 1])), {"weight": torch.tensor([1.0, 2.0])})],
    ],
    ids=[
        "no weight", "masked afterwards", "weights of samples", "several labels", "several weights", "soft labels",
        "changing weight", "changing classes", "soft classes", "no gradient",
    ],
)  # fmt: skip
def test_not_told(calls: list[Any]) -> None:
    assert told(collector(), *calls, num=20) == []


def test_pixels_of_one_channel_are_labels() -> None:
    (seen,) = told(collector(), binary(RARE.view(2, 1, 1, 2), pos_weight=torch.tensor(0.5)))
    assert seen.shares == (0.75, 0.25)


class _Two(Ranks):
    """Two processes of which the other one has seen the same as this one."""

    def gather(self, value: Any) -> list[Any]:
        return [value, value]


def test_all_ranks_together() -> None:
    (seen,) = told(collector(_Two()), binary(RARE, pos_weight=torch.tensor(0.5)))
    assert (seen.num_batches, seen.num_targets, seen.shares) == (16, 64, (0.75, 0.25))


def test_nothing_waits_for_an_accelerator() -> None:
    with FakeTensorMode():
        watch = collector()
        for name, args, kwargs in (
            binary(torch.ones(4), pos_weight=torch.ones(1)), classes(torch.zeros(4, dtype=torch.int64), torch.ones(3)),
        ):  # fmt: skip
            for _ in range(3):
                watch.on_loss(name, args, kwargs, getattr(F, name)(*args, **kwargs), WHO)
        watch.pack()
    assert len(watch._tallies) == 2
