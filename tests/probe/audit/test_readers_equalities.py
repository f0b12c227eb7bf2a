"""What the reader sees of `==` between predictions and labels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lightning_nnguard.observation import EqualitySeen
from lightning_nnguard.probe.audit.readers.equalities import equalities
from lightning_nnguard.rules.wiring.metric_never_equal import MetricNeverEqual
from tests.probe.audit.recording import Net, record

X, Y = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3


def seen_in(metric: Callable[..., Tensor], labels: Tensor = Y, stage: str = "validate", width: int = 3) -> list[EqualitySeen]:
    def step(self, x, y):
        metric(self.a(x), y)
        return self.a(x).sum()

    model = Net(step, a=nn.Linear(6, width))
    return list(equalities(record(model, model, X, labels, stage=stage)))


def faults(seen: list[EqualitySeen]) -> int:
    return sum(MetricNeverEqual().check(each) is not None for each in seen)


@pytest.mark.parametrize("stage", ["train", "validate"])
@pytest.mark.parametrize(
    "metric",
    [
        lambda out, y: (torch.max(out, 1)[0] == y).float().mean(),
        lambda out, y: (y == out.amax(1)).sum().item(),
        lambda out, y: torch.ne(out.softmax(1)[:, 1], y).double().mean(),
        lambda out, y: (out.detach()[:, 0] == y.float()).count_nonzero(),
        lambda out, y: (out.softmax(1).max(1).values.long() == y).float().mean(),
        lambda out, y: (out[:, 0].sigmoid().to(torch.int32) == y).float().mean(),
        lambda out, y: (torch.sigmoid(out[:, :1]).int().view(-1) == y).sum(),
    ],
    ids=["values", "largest", "probabilities", "whole labels", "cut", "cast", "reshaped"],
)
def test_predictions_that_never_equal_labels(metric, stage):
    (seen,) = seen_in(metric, stage=stage)
    assert faults([seen]) == 1
    assert (seen.num_predictions, seen.stage, seen.is_averaged) == (12, stage, True)
    assert seen.source is not None


def test_the_numbers_are_those_of_the_two_sides():
    (seen,) = seen_in(lambda out, y: (y == out.softmax(1).amax(1)).float().mean())
    assert 1 / 3 <= seen.low < seen.high <= 1
    assert (seen.fractional, seen.label_fractional, seen.num_equal, seen.num_pairs, seen.squash) == (1.0, 0.0, 0, 12, "")
    assert (seen.dtype, seen.label_dtype) == ("float32", "int64")
    assert "amax" in seen.made_by


def test_equal_pairs_are_counted_for_both_functions():
    for metric in (lambda out, y: (out[:, 0].int() * 0 == y).sum(), lambda out, y: (out[:, 0].int() * 0 != y).sum()):
        assert seen_in(metric)[0].num_equal == 4


@pytest.mark.parametrize(
    "metric",
    [
        lambda out, y: (out.argmax(1) == y).float().mean(),
        lambda out, y: (torch.max(out, 1)[1] == y).float().mean(),
        lambda out, y: (out[:, 0].round() == y).float().mean(),
        lambda out, y: (out[:, 0].sigmoid().round().int() == y).float().mean(),
        lambda out, y: ((out[:, 0].sigmoid() + 0.5).int() == y).float().mean(),
        lambda out, y: (out[:, 0].int() == y).float().mean(),
        lambda out, y: ((out[:, 0] > 0).int() == y).float().mean(),
        lambda out, y: (out[:, 0] == out.amax(1)).float().mean(),
        lambda out, y: (out[:, 0] == y).float() * out[:, 1],
        lambda out, y: (y == y.float()).float().mean(),
        lambda out, y: (out == 0).float().mean(),
        lambda out, y: (out[:, 0] == torch.arange(12)).float().mean(),
        lambda out, y: ((out[:, 0] * 0 + 0.5).int() == y).float().mean(),
        lambda out, y: (out[:, 0] * torch.nan == y).float().mean(),
    ],
    ids=["choice", "indices", "rounded", "rounded integers", "half added", "cut outputs", "signs", "scores", "mask", "labels",
         "constant", "constants", "no probabilities", "NaN"],
)  # fmt: skip
def test_healthy_equalities(metric):
    assert faults(seen_in(metric)) == 0


def test_real_targets_are_no_labels():
    assert faults(seen_in(lambda out, y: (out[:, 0] == y).float().mean(), torch.linspace(0, 2.5, 12))) == 0
