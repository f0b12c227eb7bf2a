"""What the reader sees of (N, 1) that meets (N,) on the way to the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import BroadcastSeen
from lightning_nnguard.probe.audit.readers.broadcasts import broadcasts
from lightning_nnguard.rules.wiring.broadcast_loss import BroadcastLoss
from tests.probe.audit.recording import Net, record

X, Y = torch.randn(8, 6), torch.randn(8)


def pairs(loss: Callable[..., Tensor], *batch: Tensor, **parts: Any) -> list[BroadcastSeen]:
    model = Net(loss, **{"a": nn.Linear(6, 1), **parts})
    return list(broadcasts(record(model, model, *(batch or (X, Y)))))


def faults(seen: list[BroadcastSeen]) -> int:
    return sum(BroadcastLoss().check(each) is not None for each in seen)


@pytest.mark.parametrize(
    "loss",
    [
        lambda self, x, y: (self.a(x) - y).square().mean(),
        lambda self, x, y: (y - self.a(x)).abs().mean(),
        lambda self, x, y: (self.a(x).squeeze(1) - y.view(-1, 1)).square().sum(),
        lambda self, x, y: -(self.a(x).sigmoid().log() * y).mean(),
        lambda self, x, y: ((self.a(x)[:, 0] - y).square() * torch.ones_like(y).add(y).reshape(-1, 1)).mean(),
        lambda self, x, y: F.kl_div(self.a(x), y.abs(), reduction="sum"),
        lambda self, x, y: F.poisson_nll_loss(self.a(x), y.abs()),
    ],
    ids=["difference", "other way", "column of targets", "product", "weights", "divergence", "counts"],
)
def test_a_prediction_against_all_targets(loss):
    (seen,) = [each for each in pairs(loss) if BroadcastLoss().check(each)]
    assert (seen.long_shape, seen.short_shape, seen.batch_size) == ((8, 1), (8,), 8)
    assert (seen.num_from_batch, seen.is_asked_for) == (2, False)
    assert seen.source is not None


def test_masks_of_images():
    images, masks = torch.randn(4, 1, 5, 5), torch.ones(4, 5, 5)
    (seen,) = pairs(lambda self, x, y: (self.a(x) * y).mean(), images, masks, a=nn.Conv2d(1, 1, 3, padding=1))
    assert (seen.long_shape, seen.short_shape) == ((4, 1, 5, 5), (4, 5, 5))
    assert faults([seen]) == 1


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_loss_function():
    (seen,) = pairs(lambda self, x, y: F.mse_loss(self.a(x), y))
    assert (seen.function, seen.is_loss, seen.num_with_grad) == ("mse_loss", True, 1)


@pytest.mark.parametrize(
    "loss",
    [
        lambda self, x, y: (self.a(x)[:, 0] - y).square().mean(),
        lambda self, x, y: (self.a(x) - y[:, None]).square().mean(),
        lambda self, x, y: F.mse_loss(self.a(x)[:, 0], y),
        lambda self, x, y: (self.a(x) - y.mean()).square().mean(),
        lambda self, x, y: (self.a(x) - x).square().mean(),
        lambda self, x, y: (self.a(x[:1]) - y[:1]).square().mean(),
    ],
    ids=["row", "column", "loss function", "scalar", "features", "one sample"],
)
def test_shapes_that_fit(loss):
    assert pairs(loss) == []


@pytest.mark.parametrize(
    "loss",
    [
        lambda self, x, y: (self.a(x)[:, 0][:, None] - y).abs().mean(),
        lambda self, x, y: (self.a(x)[:, 0].unsqueeze(1) - y).abs().mean(),
        lambda self, x, y: (self.a(x)[..., 0][..., None] - y).abs().mean(),
        lambda self, x, y: (self.a(x).square().sum(1, keepdim=True) + y.square()).mean(),
        lambda self, x, y: (self.a(x).square().sum(1, True) + y.square()).mean(),
        lambda self, x, y: (self.a(x).view(-1, 1) - self.a(x).view(-1)).abs().mean(),
        lambda self, x, y: (x[:, :1] * self.frequencies).sin().mean(),
        lambda self, x, y: self.a(x).mean() + (x[:, :1] - y).mean(),
        lambda self, x, y: (self.a(x) - torch.randn(8)).abs().mean(),
    ],
    ids=["None", "unsqueeze", "ellipsis", "keepdim", "keepdim by place", "both", "parameter", "no gradient", "noise"],
)
def test_pairs_that_are_meant(loss):
    assert faults(pairs(loss, frequencies=nn.Parameter(torch.randn(8)))) == 0


def test_what_does_not_lead_to_the_loss():
    def step(self: Net, x: Tensor, y: Tensor) -> Tensor:
        prediction = self.a(x)
        (prediction - y).square().mean()
        return prediction.mean()

    assert pairs(step) == []


def test_a_value_of_one_element_and_a_scalar():
    assert pairs(lambda self, x, y: self.a(x).mean() * torch.ones(1) + self.b, b=nn.Parameter(torch.zeros(1))) == []


LABELS = torch.arange(8) % 2


def metrics(metric: Callable[..., Tensor], *, stage: str = "validate", width: int = 1, labels: Tensor = LABELS) -> int:
    """Return how many faults are seen in a metric of a layer of some width."""

    def step(self, x, y):
        metric(self.a(x), y)
        return self.a(x).sum()

    model = Net(step, a=nn.Linear(6, width))
    return faults(broadcasts(record(model, model, X, labels, stage=stage)))


@pytest.mark.parametrize("stage", ["train", "validate"])
@pytest.mark.parametrize(
    "metric",
    [
        lambda out, y: (out.sigmoid().round() == y).float().mean(),
        lambda out, y: ((out > 0) == y).sum() / len(y),
        lambda out, y: (y != (out > 0).long()).double().mean().item(),
        lambda out, y: torch.sum(torch.eq(out.round(), y)),
        lambda out, y: (out.detach().cpu() > y).long().float().mean(),
        lambda out, y: (y == out.argmax(1, keepdim=True)).count_nonzero(),
        lambda out, y: (out.topk(1).indices == y).float().mean(),
    ],
    ids=["probabilities", "signs", "errors", "function", "larger", "kept dimension", "best of all"],
)
def test_a_metric_of_all_pairs(metric, stage):
    assert metrics(metric, stage=stage) == 1


@pytest.mark.parametrize(
    "metric",
    [
        lambda out, y: (out.squeeze(1).round() == y).float().mean(),
        lambda out, y: (out.round() == y[:, None]).float().mean(),
        lambda out, y: (y.view(-1, 1) == y).float().mean(),
        lambda out, y: (out > out.squeeze(1)).float().mean(),
        lambda out, y: (out.squeeze(1).round()[:, None] == y).float().mean(),
        lambda out, y: (out.round() == torch.arange(8)).float().mean(),
        lambda out, y: (out.round() == y).any(1).float().mean(),
        lambda out, y: (out.round() == y).float().mean(1),
        lambda out, y: (out.round() == y).float() * out,
    ],
    ids=["rows", "columns", "labels", "predictions", "asked for", "constants", "any", "along one", "mask"],
)
def test_no_metric_of_all_pairs(metric):
    assert metrics(metric) == 0


def test_many_outputs_are_no_column():
    assert metrics(lambda out, y: (out.round() == y).float().mean(), width=8) == 0
