"""What records of evaluation show: random numbers, and running statistics against those of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import RandomEvaluationSeen, RunningStatisticsSeen
from lightning_nnguard.probe.audit.readers.random_evaluations import random_evaluations
from lightning_nnguard.probe.audit.readers.running_statistics import running_statistics
from tests.probe.audit.recording import Net, record

X = torch.randn(64, 6)


def evaluated(model: nn.Module, *batch: Tensor, stage: str = "validate", **changes: Any) -> Any:
    return record(model.train(stage == "train"), model, *batch, stage=stage, **changes)


# -- random numbers


def drawn(forward: Callable[..., Tensor], **parts: Any) -> RandomEvaluationSeen:
    (seen,) = random_evaluations(evaluated(Net(forward, **parts), X, drew_random=True))
    return seen


def test_training_is_not_judged() -> None:
    assert random_evaluations(evaluated(nn.Dropout(), X, stage="train")) == ()


@pytest.mark.parametrize("drew", [False, True])
def test_whether_the_random_state_moved_is_told(drew: bool) -> None:
    (seen,) = random_evaluations(evaluated(nn.Linear(6, 6), X, drew_random=drew))
    assert (seen.has_advanced, seen.num_calls, seen.calls, seen.has_dropout) == (drew, 0, (), False)


@pytest.mark.parametrize(
    ("forward", "expression"),
    [
        (lambda self, x: x + torch.randn(6), "torch.randn(6)"),
        (lambda self, x: x + torch.rand_like(x), "torch.rand_like(x)"),
        (lambda self, x: x + torch.randint(0, 2, (6,)), "torch.randint(0, 2, (6,))"),
        (lambda self, x: x[torch.randperm(64)], "torch.randperm(64)"),
        (lambda self, x: x + torch.normal(0.0, 1.0, (6,)), "torch.normal(0.0, 1.0, (6,))"),
        (lambda self, x: x + torch.empty(6).uniform_(), "torch.empty(6).uniform_()"),
        (lambda self, x: x + torch.empty(6).exponential_(), "torch.empty(6).exponential_()"),
        (lambda self, x: x * torch.bernoulli(torch.full((6,), 0.5)), "torch.bernoulli(torch.full((6,), 0.5))"),
        (lambda self, x: torch.multinomial(x.softmax(1), 1), "torch.multinomial(x.softmax(1), 1)"),
        (lambda self, x: F.gumbel_softmax(x, hard=True), "F.gumbel_softmax(x, hard=True)"),
        (lambda self, x: F.rrelu(x, training=True), "F.rrelu(x, training=True)"),
        (lambda self, x: torch.distributions.Categorical(logits=x).sample(), "torch.distributions.Categorical(logits=x).sample()"),
        (lambda self, x: torch.distributions.Gamma(x.exp(), 1.0).rsample(), "torch.distributions.Gamma(x.exp(), 1.0).rsample()"),
    ],
)  # fmt: skip
def test_the_call_that_drew_is_named(forward: Callable[..., Tensor], expression: str) -> None:
    seen = drawn(forward)
    assert seen.num_calls >= 1
    assert [each.partition(", ")[2] for each in seen.calls] == [f"`{expression}` in `Net`"]
    assert seen.calls[0].startswith("test_readers_evaluation.py:")
    assert not seen.has_dropout


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: x + torch.randn(6, generator=torch.Generator()),
        lambda self, x: x + torch.empty(6).normal_(generator=torch.Generator()),
        lambda self, x: F.rrelu(x),
        lambda self, x: F.dropout(x, training=False),
        lambda self, x: x.std(0) + torch.zeros(6),
    ],
    ids=["generator", "in place", "rrelu", "dropout", "none"],
)
def test_other_calls_are_not(forward: Callable[..., Tensor]) -> None:
    assert (drawn(forward).num_calls, drawn(forward).has_dropout) == (0, False)


def test_a_call_that_is_made_again_is_named_once() -> None:
    seen = drawn(lambda self, x: x + sum(torch.rand(1) for _ in range(3)))
    assert (seen.num_calls, len(seen.calls)) == (3, 1)


def attention(self: Net, x: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, dropout_p=0.1)


@pytest.mark.parametrize(
    ("forward", "parts", "drops"),
    [
        (lambda self, x: F.dropout(x), {}, True),
        (lambda self, x: F.dropout(x, 0.0), {}, False),
        (lambda self, x: F.alpha_dropout(x, 0.1, True), {}, True),
        (lambda self, x: torch.dropout(x, 0.1, train=True), {}, True),
        (lambda self, x: torch.dropout(x, 0.1, train=False), {}, False),
        (attention, {}, True),
        (lambda self, x: F.scaled_dot_product_attention(x, x, x), {}, False),
        (lambda self, x: self.rnn.train()(x)[0], {"rnn": nn.LSTM(6, 6, 2, dropout=0.1)}, True),
        (lambda self, x: self.rnn(x)[0], {"rnn": nn.LSTM(6, 6, 2, dropout=0.1)}, False),
        (lambda self, x: self.rnn.train()(x)[0], {"rnn": nn.GRU(6, 6, 2, dropout=0.1)}, True),
        (lambda self, x: self.rnn.train()(x)[0], {"rnn": nn.RNN(6, 6, 2)}, False),
        (lambda self, x: self.mha.train()(x, x, x)[0], {"mha": nn.MultiheadAttention(6, 2, dropout=0.1)}, True),
        (lambda self, x: self.mha(x, x, x)[0], {"mha": nn.MultiheadAttention(6, 2, dropout=0.1)}, False),
    ],
)
def test_active_dropout_is_told_from_the_rest(forward: Callable[..., Tensor], parts: dict[str, Any], drops: bool) -> None:
    seen = drawn(forward, **parts)
    assert (seen.has_dropout, seen.num_calls) == (drops, 0)


# -- running statistics


def statistics(model: nn.Module, *batch: Tensor, **changes: Any) -> list[RunningStatisticsSeen]:
    return list(running_statistics(evaluated(model, *batch, **changes)))


def test_running_statistics_are_compared_with_those_of_the_batch() -> None:
    model = nn.Sequential(nn.BatchNorm1d(6, momentum=0.05, eps=0.0))
    norm: Any = model[0]
    norm.running_mean.copy_(X.mean(0) + 4 * X.std(0, correction=0))
    norm.running_var.copy_(X.var(0, correction=0) / 4)
    (seen,) = statistics(model, X)
    assert (seen.where, seen.stage, seen.num_channels, seen.num_samples, seen.num_values) == ("0", "validate", 6, 64, 64)
    assert (seen.momentum, seen.frozen, seen.is_untouched) == (0.05, False, False)
    assert seen.shift == pytest.approx(8.0, rel=1e-4)  # running deviations are half of those of the batch
    assert seen.variance_ratio == pytest.approx(4.0, rel=1e-4)
    assert seen.spread_ratio == pytest.approx(4 + 64, rel=1e-4)


def test_images_have_many_values_a_channel() -> None:
    images = torch.randn(4, 3, 5, 5) * torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    (seen,) = statistics(nn.BatchNorm2d(3, eps=0.0), images)
    assert (seen.num_channels, seen.num_samples, seen.num_values) == (3, 4, 100)
    assert seen.variance_ratio == pytest.approx(float(images[:, 1].var(correction=0)), rel=1e-4)
    assert seen.is_untouched


def test_the_line_that_calls_the_layer_is_named() -> None:
    (seen,) = statistics(Net(lambda self, x: self.norm(x), norm=nn.BatchNorm1d(6)), X)
    assert seen.source is not None
    assert seen.source.endswith("`self.norm(x)` in `norm`")


def test_medians_are_not_moved_by_a_few_channels() -> None:
    norm = nn.BatchNorm1d(6)
    assert norm.running_mean is not None
    norm.running_mean[:2] = 100.0
    (seen,) = statistics(norm, X)
    assert seen.shift < 0.5
    assert 0.5 < seen.variance_ratio < 2
    assert seen.spread_ratio > 1000


@pytest.mark.parametrize(("change", "frozen"), [(lambda norm: None, False), (lambda norm: norm.requires_grad_(False), True)])
def test_a_frozen_weight_is_told(change: Callable[[nn.Module], Any], frozen: bool) -> None:
    norm = nn.BatchNorm1d(6)
    change(norm)
    (seen,) = statistics(norm, X)
    assert seen.frozen == frozen
    assert not statistics(nn.BatchNorm1d(6, affine=False), X)[0].frozen


@pytest.mark.parametrize(
    "model",
    [
        nn.BatchNorm1d(6, track_running_stats=False),
        Net(lambda self, x: F.batch_norm(x, torch.zeros(6), torch.ones(6), training=True)),
        Net(lambda self, x: torch.batch_norm(x, None, None, torch.zeros(6), torch.ones(6), False, 0.1, 1e-5, False)),
        Net(lambda self, x: F.batch_norm(x * torch.nan, torch.zeros(6), torch.ones(6))),
        nn.LayerNorm(6),
    ],
    ids=["none", "batch statistics", "raw", "not finite", "layer norm"],
)
def test_what_is_not_measured(model: nn.Module) -> None:
    assert statistics(model, X) == []


def test_a_moving_average_over_all_batches_has_no_momentum() -> None:
    assert statistics(nn.BatchNorm1d(6, momentum=None), X)[0].momentum == 0.0


# -- rounding


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_probabilities_in_half_precision_still_sum_to_one(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(512, 100)
    target = torch.zeros(512, dtype=torch.long)
    made = evaluated(Net(lambda self, x: F.cross_entropy(x.softmax(1).to(dtype), target)), logits)
    fact: Any = next(call.fact for call in made.calls if call.function == "cross_entropy")
    assert fact.max_sum_error < 1e-3
    shifted = evaluated(Net(lambda self, x: F.cross_entropy(1.01 * x.softmax(1).to(dtype), target)), logits)
    fact = next(call.fact for call in shifted.calls if call.function == "cross_entropy")
    assert fact.max_sum_error > 1e-3
