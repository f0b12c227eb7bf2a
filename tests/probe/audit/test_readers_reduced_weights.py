"""What the readers see of weights that come when the loss is one number already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import ReducedWeightsSeen
from lightning_nnguard.probe.audit.readers.reduced_weights import reduced_weights
from tests.probe.audit.recording import Net, record

X, Y, W = torch.randn(8, 6), torch.randint(0, 3, (8,)), torch.linspace(0.5, 4.0, 8)


def products(loss: Callable[..., Tensor], *batch: Tensor, stage: str = "train", **parts: Any) -> list[ReducedWeightsSeen]:
    model = Net(loss, **{"a": nn.Linear(6, 3), **parts})
    return list(reduced_weights(record(model, model, *(batch or (X, Y, W)), stage=stage)))


def entropy(self: Net, x: Tensor, y: Tensor, **changes: Any) -> Tensor:
    return F.cross_entropy(self.a(x), y, **changes)


def test_weights_behind_the_mean():
    (seen,) = products(lambda self, x, y, w: (F.cross_entropy(self.a(x), y) * w).mean())
    assert (seen.function, seen.reduction, seen.num_targets, seen.num_weights) == ("cross_entropy", "mean", 8, 8)
    assert (seen.weight_min, seen.weight_max) == (0.5, 4.0)
    assert "F.cross_entropy(self.a(x), y) * w" in str(seen.source)
    assert "F.cross_entropy(self.a(x), y)" in str(seen.loss_source)


@pytest.mark.parametrize(
    "loss",
    [
        lambda self, x, y, w: (w * entropy(self, x, y)).sum() / w.sum(),
        lambda self, x, y, w: torch.mul(entropy(self, x, y, reduction="sum"), w).mean(),
        lambda self, x, y, w: ((entropy(self, x, y) + self.a.weight.square().sum()) * w).mean(),
        lambda self, x, y, w: (entropy(self, x, y) * w[:, None]).sum(),
        lambda self, x, y, w: (entropy(self, x, y) * (y == 1)).mean(),
        lambda self, x, y, w: (entropy(self, x, y) * torch.tensor([1.0, 2.0, 3.0])[y]).mean(),
        lambda self, x, y, w: (w * entropy(self, x, y) + (1 - w) * entropy(self, x, y.roll(1))).mean(),
        lambda self, x, y, w: (entropy(self, x, y) * (self.a(x).detach().amax(1))).mean(),
        lambda self, x, y, w: (entropy(self, x, y, reduction="none").mean() * w).mean(),
        lambda self, x, y, w: (product := entropy(self, x, y) * w, product.amax().item(), product.exp())[0].mean(),
    ],
    ids=["sum", "sum first", "penalised", "column", "mask", "class weights", "mixed", "confidence", "by hand", "logged, too"],
)
def test_however_it_is_written(loss):
    assert products(loss)


def test_how_a_loss_was_reduced():
    (seen,) = products(lambda self, x, y, w: (entropy(self, x, y, reduction="none").sum() * w).mean())
    assert (seen.reduction, seen.num_targets) == ("sum", 8)
    (seen,) = products(lambda self, x, y, w: (entropy(self, x, y, reduction="sum") * w).mean())
    assert seen.reduction == "sum"


def test_a_mask_of_tokens():
    def loss(self: Net, x: Tensor, y: Tensor, known: Tensor) -> Tensor:
        return (F.cross_entropy(self.a(x).flatten(0, 1), y.flatten()) * known).sum() / known.sum()

    (seen,) = products(loss, torch.randn(4, 5, 6), torch.randint(0, 3, (4, 5)), (torch.arange(20) > 7).view(4, 5))
    assert (seen.num_targets, seen.num_weights, seen.weight_min, seen.weight_max) == (20, 20, 0.0, 1.0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda self, x, y, w: (entropy(self, x, y, reduction="none") * w).mean(),
        lambda self, x, y, w: entropy(self, x, y) * w.mean(),
        lambda self, x, y, w: (torch.stack([entropy(self, x, y), self.a(x).square().mean()]) * w[:2]).sum(),
        lambda self, x, y, w: (entropy(self, x, y) * w[:3]).sum(),
        lambda self, x, y, w: (entropy(self, x, y) * torch.linspace(0, 1, 8)).sum(),
        lambda self, x, y, w: (entropy(self, x, y) * self.learnt).sum(),
        lambda self, x, y, w: (entropy(self, x, y) * w * self.a(x)[:, 0]).mean(),
        lambda self, x, y, w: (entropy(self, x, y) * w).norm(),
        lambda self, x, y, w: (product := entropy(self, x, y) * w).mean() + product.norm(),
        lambda self, x, y, w: (w / (entropy(self, x, y) * w)).mean(),
        lambda self, x, y, w: (entropy(self, x, y) * self.a(x)[:, 0]).mean(),
        lambda self, x, y, w: (entropy(self, x, y) * w[:0]).sum(),
        lambda self, x, y, w: ((entropy(self, x, y, reduction="none") ** 2).mean().sqrt() * w).mean(),
        lambda self, x, y, w: (entropy(self, x, y, reduction="none").amax() * w).mean(),
        lambda self, x, y, w: (self.a.weight.square().sum() * w).mean() + entropy(self, x, y),
        lambda self, x, y, w: ((entropy(self, x, y) * w).mean().detach()) + entropy(self, x, y),
        lambda self, x, y, w: sum(entropy(self, x[i : i + 1], y[i : i + 1]) * w[i] for i in range(8)) / 8,
    ],
    ids=[
        "in time", "number", "tasks", "few tasks", "schedule", "learnt", "with outputs", "norm", "norm, too", "divisor", "outputs",
        "none", "root mean square", "hardest sample", "penalty", "logged", "one by one",
    ],
)  # fmt: skip
def test_products_that_are_something_else(loss):
    assert products(loss, learnt=nn.Parameter(torch.ones(8))) == []


def test_an_evaluation_trains_nothing():
    assert products(lambda self, x, y, w: (entropy(self, x, y) * w).mean(), stage="validate") == []


@pytest.mark.parametrize("weight", [torch.nan, torch.inf])
def test_weights_without_a_number(weight):
    assert products(lambda self, x, y, w: (entropy(self, x, y) * w).mean(), X, Y, torch.full((8,), weight)) == []


def test_numbers_and_products_that_are_used_twice_again_and_again():
    def number(self: Net, x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        state = self.a.weight.sum()
        for _ in range(60):
            state = state * state.tanh()
        return (state * w).mean() + entropy(self, x, y)

    def product(self: Net, x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        parts = entropy(self, x, y) * w
        for _ in range(60):
            parts = parts / 2 + parts / 2
        return parts.mean()

    assert products(number) == []
    assert len(products(product)) == 1
