"""What the readers see of calls of loss functions, and of the losses that are trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import LossCallSeen, WholeLossSeen
from lightning_nnguard.probe.audit.readers.loss_calls import loss_calls
from lightning_nnguard.probe.audit.readers.whole_losses import whole_losses
from tests.probe.audit.recording import Net, record

X, Y = torch.randn(8, 6), torch.randint(0, 3, (8,))
TOKENS = (2 * torch.arange(35) % 9).view(5, 7)


def calls(loss: Callable[..., Tensor], *batch: Tensor, stage: str = "train", **parts: Any) -> list[LossCallSeen]:
    model = Net(loss, **parts)
    return list(loss_calls(record(model, model, *batch, stage=stage)))


def call(loss: Callable[..., Tensor], *batch: Tensor, **parts: Any) -> LossCallSeen:
    (seen,) = calls(loss, *(batch or (X, Y)), **{"a": nn.Linear(6, 3), **parts})
    return seen


# -- calls


def test_numbers_of_a_call():
    seen = call(lambda self, x, y: F.cross_entropy(self.a(x), y))
    assert (seen.where, seen.function, seen.reduction, seen.is_weighted) == ("Net", "cross_entropy", "mean", False)
    assert (seen.is_trained, seen.num_trained, seen.is_target_made) == (True, 1, False)
    assert (seen.num_rows, seen.num_values, seen.num_targets, seen.num_ignored, seen.ignore_index) == (8, 24, 8, 0, -100)
    assert (seen.target_min, seen.target_max) == (Y.min(), Y.max())
    shares = Y.bincount() / len(Y)
    assert seen.target_entropy == pytest.approx(float(torch.special.entr(shares).sum()))
    assert seen.input_source is not None
    assert "`self.a(x)` in `a`" in seen.input_source


def test_a_layer_is_named_by_the_line_that_calls_it():
    seen = call(lambda self, x, y: self.goal(self.end(self.a(x)), y), end=nn.Softmax(1), goal=nn.CrossEntropyLoss())
    assert (seen.where, seen.input_function) == ("goal", "softmax")
    assert str(seen.source).endswith("in `goal`")
    assert str(seen.input_source).endswith("`self.end(self.a(x))` in `end`")


@pytest.mark.parametrize(
    ("loss", "takes_logarithms"),
    [
        (lambda self, x, y: F.poisson_nll_loss(self.a(x)[:, 0], y.float()), True),
        (lambda self, x, y: F.poisson_nll_loss(self.a(x)[:, 0].exp(), y.float(), False), False),
        (lambda self, x, y: nn.PoissonNLLLoss(log_input=False)(self.a(x)[:, 0].exp(), y.float()), False),
        (lambda self, x, y: F.mse_loss(self.a(x)[:, 0], y.float()), None),
    ],
)
def test_what_a_loss_of_counts_takes(loss, takes_logarithms):
    assert call(loss).takes_logarithms is takes_logarithms


def test_negative_rates_leave_no_value():
    seen = call(lambda self, x, y: F.poisson_nll_loss(self.a(x)[:, 0] - 9, y.float(), log_input=False))
    assert seen.value is None
    assert seen.input_min < 0


def test_infinite_inputs_stay_finite():
    masked = torch.zeros(8, 3).index_fill_(1, torch.tensor([2]), -torch.inf)
    seen = call(lambda self, x, y: F.cross_entropy(self.a(x) + masked, y.clamp(max=1)))
    assert seen.input_min == pytest.approx(-1e15)
    assert all(math.isfinite(each) for each in vars(seen).values() if isinstance(each, float))


@pytest.mark.parametrize(
    "loss",
    [
        lambda self, x, y: F.cross_entropy(self.a(x) * torch.nan, y),
        lambda self, x, y: F.mse_loss(self.a(x), torch.full((8, 3), torch.nan)),
        lambda self, x, y: F.mse_loss(self.a(x[:0]), torch.zeros(0, 3)) + self.a(x).sum(),
        lambda self, x, y: (F.nll_loss(self.a(x).to("meta"), y.to("meta")), self.a(x).sum())[1],
    ],
    ids=["input", "target", "empty", "meta"],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_calls_without_numbers_are_left_out(loss):
    assert calls(loss, X, Y, a=nn.Linear(6, 3)) == []


def test_a_result_that_is_not_finite():
    seen = call(lambda self, x, y: F.cross_entropy(self.a(x), torch.full_like(y, -100)))
    assert (seen.num_ignored, seen.value, seen.target_entropy) == (8, None, 0.0)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda self, x, y: F.cross_entropy(self.a(x), y, torch.ones(3)), ("mean", True)),
        (lambda self, x, y: F.cross_entropy(self.a(x), y, weight=torch.ones(3), reduction="sum"), ("sum", True)),
        (lambda self, x, y: F.mse_loss(self.a(x), torch.ones(8, 3), reduction="none").mean(), ("none", False)),
        (lambda self, x, y: F.mse_loss(self.a(x), torch.ones(8, 3)), ("mean", False)),
        (lambda self, x, y: nn.BCEWithLogitsLoss(torch.ones(3))(self.a(x), torch.ones(8, 3)), ("mean", True)),
        (lambda self, x, y: nn.BCEWithLogitsLoss()(self.a(x), torch.ones(8, 3)), ("mean", False)),
    ],
)
def test_reduction_and_weights(loss, expected):
    seen = call(loss)
    assert (seen.reduction, seen.is_weighted) == expected


def test_a_parameter_as_the_input():
    seen = call(lambda self, x, y: F.mse_loss(self.logits[:4], torch.zeros(4)), logits=nn.Parameter(torch.zeros(8)))
    assert (seen.input_function, seen.input_source) == ("parameter", None)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (F.relu, (0.0, None)),
        (nn.Sigmoid(), (0.0, 1.0)),
        (torch.tanh, (-1.0, 1.0)),
        (lambda x: x.tanh().float()[:, :2].reshape(-1), (-1.0, 1.0)),
        (lambda x: x.clamp(-2, 3), (-2.0, 3.0)),
        (lambda x: x.clamp(min=0.5), (0.5, None)),
        (F.relu6, (0.0, 6.0)),
        (lambda x: F.hardtanh(x, -3.0, 4.0), (-3.0, 4.0)),
        (F.logsigmoid, (None, 0.0)),
        (lambda x: 5 * x.tanh(), (None, None)),
        (lambda x: F.dropout(x.sigmoid(), 0.2), (None, None)),
        (lambda x: torch.cat([x.relu(), x]), (None, None)),
        (lambda x: x, (None, None)),
    ],
)
def test_the_range_of_what_made_the_input(end, expected):
    seen = call(lambda self, x, y: F.mse_loss(out := end(self.a(x)), torch.zeros_like(out)))
    assert (seen.input_low, seen.input_high) == expected


def test_targets_that_the_model_has_made():
    def teacher(self: Net, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            goal = self.a(x)
        return F.mse_loss(self.a(x), goal)

    assert call(teacher).is_target_made
    assert call(lambda self, x, y: F.mse_loss(self.a(x), self.a(x + 1))).is_target_made
    assert call(lambda self, x, y: F.mse_loss(self.a(x), torch.zeros(8, 3, requires_grad=True))).is_target_made
    assert not call(lambda self, x, y: F.mse_loss(self.a(x), F.one_hot(y, 3).float())).is_target_made


def test_several_losses_and_those_that_are_not_trained():
    def both(self: Net, x: Tensor, y: Tensor) -> Tensor:
        F.cross_entropy(self.a(x), y)
        return F.cross_entropy(self.a(x), y) + F.mse_loss(self.a(x), torch.ones(8, 3))

    seen = calls(both, X, Y, a=nn.Linear(6, 3))
    assert [each.is_trained for each in seen] == [False, True, True]
    assert {each.num_trained for each in seen} == {2}
    assert not calls(both, X, Y, stage="validate", a=nn.Linear(6, 3))[0].is_trained


# -- copies


def language(self: Net, x: Tensor, y: Tensor) -> Tensor:
    logits: Tensor = self.head(torch.tanh(self.embed(x)))
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def copies(loss: Callable[..., Tensor], x: Tensor, y: Tensor, **parts: Any) -> tuple[float, int]:
    (seen,) = calls(loss, x, y, embed=nn.Embedding(9, 4), head=nn.Linear(4, 9), **parts)
    return seen.copied_fraction, seen.num_copyable


def test_targets_that_are_the_tokens():
    assert copies(language, TOKENS, TOKENS.clone()) == (1.0, TOKENS.numel() - 2)
    fraction, _ = copies(language, TOKENS, torch.where(torch.arange(7) == 3, (TOKENS + 1) % 9, TOKENS))
    assert fraction == pytest.approx(1 - 5 / 33)


def test_tokens_without_an_embedding():
    one_hot = lambda self, x, y: F.cross_entropy(nn.Linear(9, 9)(F.one_hot(x, 9).float()).transpose(1, 2), y)  # noqa: E731
    assert copies(one_hot, TOKENS, TOKENS)[0] == 1.0


def test_real_targets_are_no_copies():
    distance = lambda self, x, y: F.mse_loss(self.head(self.embed(x)).mean(2), y)  # noqa: E731
    assert copies(distance, TOKENS, TOKENS.float()) == (0.0, 0)


def test_no_tokens():
    assert copies(lambda self, x, y: F.cross_entropy(self.head(self.embed(x).sum((0, 1))), y), TOKENS[:0], torch.tensor(1)) == (
        0.0,
        0,
    )


def test_ignored_targets_do_not_count():
    y = torch.where(torch.arange(7) < 4, -100, TOKENS)
    fraction, num = copies(language, TOKENS, y)
    assert fraction == 1.0
    assert num == int((y.flatten()[1:-1] != -100).sum())


def test_runs_of_one_token_tell_nothing():
    runs = torch.arange(1, 5).repeat_interleave(7).view(4, 7)
    assert copies(language, runs, runs.clone()) == (0.0, 0)


def test_the_next_token_is_no_copy():
    assert copies(language, TOKENS[:, :-1], TOKENS[:, 1:])[0] == 0.0


def shifted_logits(self: Net, x: Tensor, y: Tensor) -> Tensor:
    logits: Tensor = self.head(self.embed(x))
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), y[:, 1:].flatten())


def shifted_inside(self: Net, x: Tensor, y: Tensor) -> Tensor:
    hidden = F.pad(self.embed(x)[:, :-1], (0, 0, 1, 0))
    return F.cross_entropy(self.head(hidden).flatten(0, 1), y.flatten())


def masked(self: Net, x: Tensor, y: Tensor) -> Tensor:
    hidden = torch.where(torch.rand(x.shape)[..., None] < 0.2, torch.zeros(4), self.embed(x))
    return F.cross_entropy(self.head(hidden).flatten(0, 1), y.flatten())


def through_one_code(self: Net, x: Tensor, y: Tensor) -> Tensor:
    code = self.embed(x).sum(1)
    return F.cross_entropy(self.head(code[:, None] + torch.randn(7, 4)).flatten(0, 1), y.flatten())


def attended(self: Net, x: Tensor, y: Tensor) -> Tensor:
    source = self.embed(x)
    written = F.scaled_dot_product_attention(torch.randn(5, 7, 4), source, source)
    return F.cross_entropy(self.head(written).flatten(0, 1), y.flatten())


def attended_by_hand(self: Net, x: Tensor, y: Tensor) -> Tensor:
    source = self.embed(x)
    written = (torch.randn(5, 7, 4) @ source.transpose(1, 2)).softmax(-1) @ source
    return F.cross_entropy(self.head(written).flatten(0, 1), y.flatten())


def projected_by_hand(self: Net, x: Tensor, y: Tensor) -> Tensor:
    logits = self.embed(x) @ self.head.weight.T
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def test_a_product_with_a_parameter_moves_nothing():
    assert copies(projected_by_hand, TOKENS, TOKENS.clone())[0] == 1.0


@pytest.mark.parametrize("loss", [shifted_logits, shifted_inside, masked, through_one_code, attended, attended_by_hand])
def test_the_same_tokens_at_other_places_or_hidden(loss):
    assert copies(loss, TOKENS, TOKENS.clone()) == (0.0, 0)


def test_single_tokens_are_no_sequence():
    seen = call(lambda self, x, y: F.cross_entropy(self.b(self.embed(y)), y), embed=nn.Embedding(3, 4), b=nn.Linear(4, 3))
    assert seen.num_copyable == 0


# -- whole losses


def whole(loss: Callable[..., Tensor], **parts: Any) -> list[WholeLossSeen]:
    model = Net(loss, **{"a": nn.Linear(6, 3), **parts})
    return list(whole_losses(record(model, model, X, Y)))


def ce(self: Net, x: Tensor, y: Tensor, **changes: Any) -> Tensor:
    return F.cross_entropy(self.a(x), y, **changes)


@pytest.mark.parametrize(
    ("loss", "sign", "has_constant"),
    [
        (ce, 1, False),
        (lambda self, x, y: ce(self, x, y) / 4, 1, False),
        (lambda self, x, y: ce(self, x, y) * torch.tensor(1024.0), 1, False),
        (lambda self, x, y: ce(self, x, y, reduction="none").mean(), 1, False),
        (lambda self, x, y: ce(self, x, y) + 1, 1, True),
        (lambda self, x, y: ce(self, x, y) - 1, 1, True),
        (lambda self, x, y: (-ce(self, x, y)).neg(), 1, False),
        (lambda self, x, y: -(1 - ce(self, x, y)), 1, True),
        (lambda self, x, y: -ce(self, x, y), -1, False),
        (lambda self, x, y: (-ce(self, x, y, reduction="none")).sum() / 8, -1, False),
        (lambda self, x, y: -1 * ce(self, x, y), -1, False),
        (lambda self, x, y: ce(self, x, y) * -1.0, -1, False),
        (lambda self, x, y: ce(self, x, y) / -1, -1, False),
        (lambda self, x, y: ce(self, x, y).neg(), -1, False),
        (lambda self, x, y: 0 - ce(self, x, y), -1, False),
        (lambda self, x, y: torch.sub(0.0, ce(self, x, y)), -1, False),
        (lambda self, x, y: 1 - ce(self, x, y), -1, True),
        (lambda self, x, y: torch.tensor(1.0) - ce(self, x, y), -1, True),
    ],
)
def test_the_sign_of_the_trained_loss(loss, sign, has_constant):
    (seen,) = whole(loss)
    assert (seen.function, seen.sign, seen.has_constant) == ("cross_entropy", sign, has_constant)
    assert seen.value is not None
    assert seen.value > 0
    assert (seen.turned_source is not None) >= (sign < 0)
    assert not any((seen.is_target_made, seen.has_frozen, seen.is_manual, seen.is_maximized))
    if not has_constant:
        assert seen.trained_value is not None
        assert (seen.trained_value > 0) is (sign > 0)


def logs(self: Net, x: Tensor) -> Tensor:
    return F.log_softmax(self.a(x), 1)


@pytest.mark.parametrize(
    ("loss", "sign"),
    [
        (lambda self, x, y: -logs(self, x).gather(1, y[:, None]).mean(), 1),
        (lambda self, x, y: -logs(self, x)[torch.arange(8), y].mean(), 1),
        (lambda self, x, y: logs(self, x).gather(1, y[:, None]).squeeze(1).sum() / -1, 1),
        (lambda self, x, y: logs(self, x).gather(1, y[:, None]).mean(), -1),
        (lambda self, x, y: logs(self, x)[torch.arange(8), y].mean(), -1),
        (lambda self, x, y: torch.take_along_dim(logs(self, x), y[:, None], 1).mean(), -1),
    ],
)
def test_log_probabilities_picked_by_hand(loss, sign):
    (seen,) = whole(loss)
    assert (seen.function, seen.sign, seen.has_constant, seen.is_target_made) == ("negative log-likelihood", sign, False, False)
    assert seen.trained_value is not None
    assert seen.value == abs(seen.trained_value) > 0
    assert (seen.trained_value > 0) is (sign > 0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda self, x, y: (logs(self, x).gather(1, y[:, None]) * x[:, :1]).mean(),
        lambda self, x, y: logs(self, x).diagonal().mean(),
        lambda self, x, y: logs(self, x)[:, 0].mean(),
        lambda self, x, y: logs(self, x).gather(1, self.a(x).argmax(1)[:, None].clone()).mean(),
        lambda self, x, y: self.a(x).gather(1, y[:, None]).mean(),
    ],
    ids=["advantages", "diagonal", "one class", "own choice", "logits"],
)
def test_log_probabilities_that_are_no_likelihood(loss):
    assert [each for each in whole(loss) if each.function == "negative log-likelihood"] == []


@pytest.mark.parametrize(
    "loss",
    [
        lambda self, x, y: -ce(self, x, y) + self.a(x).square().mean(),
        lambda self, x, y: -(ce(self, x, y, reduction="none") * x[:, 0]).mean(),
        lambda self, x, y: ce(self, x, y) * -0.3,
        lambda self, x, y: 1 / ce(self, x, y),
        lambda self, x, y: -ce(self, x, y).log(),
        lambda self, x, y: torch.sub(1, ce(self, x, y), alpha=2),
        lambda self, x, y: -self.a(x).mean(),
        lambda self, x, y: -ce(self, x, y).detach() + self.a(x).sum(),
    ],
    ids=["two terms", "weights", "advantage", "inverse", "logarithm", "alpha", "no loss function", "detached"],
)
def test_losses_that_are_not_whole(loss):
    assert whole(loss) == []


def test_targets_and_frozen_parts_of_a_whole_loss():
    def entropy(self: Net, x: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = self.a(x)
        return -F.cross_entropy(logits, logits.softmax(1).detach())

    (seen,) = whole(entropy)
    assert seen.is_target_made
    attack = lambda self, x, y: -F.cross_entropy(self.a(x + self.delta), y)  # noqa: E731
    (seen,) = whole(attack, a=nn.Linear(6, 3).requires_grad_(False), delta=nn.Parameter(torch.zeros(6)))
    assert seen.has_frozen
