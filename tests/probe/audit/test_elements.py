"""Targets that are one element of the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.probe.audit import elements
from lightning_nnguard.probe.audit.elements import twins
from lightning_nnguard.probe.audit.readers.loss_calls import loss_calls
from lightning_nnguard.rules.data.target_copies_input import TargetCopiesInput
from tests.probe.audit.recording import Net, record

RULE = TargetCopiesInput()
X = torch.randn(40, 6, 2, generator=torch.Generator().manual_seed(0))
LAST = X[:, -1, 1]


@pytest.mark.parametrize("target", [LAST, LAST[:, None], LAST.double(), LAST.clone().view(40, 1, 1)])
def test_the_element_is_found(target: Tensor) -> None:
    (one,) = twins((X, target))
    assert (one.source, one.target, one.index) == ("batch[0]", "batch[1]", (5, 1))
    assert (one.num_samples, one.num_equal, one.num_rivals, one.num_values) == (40, 40, 0, 40)


def test_a_series_that_seldom_changes_has_rivals() -> None:
    steps = torch.arange(40.0)[:, None].expand(40, 6)
    (one,) = twins((steps, steps[:, -1]))
    assert one.num_rivals == 40
    mixed = steps + torch.tensor([5.0, 4, 3, 2, 1, 0])
    (one,) = twins((mixed, mixed[:, 2] + torch.cat([torch.ones(3), torch.zeros(37)])))
    assert (one.index, one.num_equal) == ((2,), 37)


@pytest.mark.parametrize(
    "batch",
    [
        (X, torch.randn(40)),
        (X, X),
        (X, X[:, -1]),
        (X[:15], LAST[:15]),
        (X, LAST[:39]),
        (X[:, 0, 0], X[:, 0, 0]),
        (torch.randint(9, (40, 6)), torch.randint(9, (40,))),
        (X, torch.full((40,), torch.nan)),
        (X, X[:, -1, 1] * (torch.arange(40) > 4)),
        torch.tensor(1.0),
        None,
    ],
    ids=["other", "autoencoder", "several", "few", "lengths", "one number", "integers", "nan", "seldom", "scalar", "nothing"],
)
def test_nothing_is_found(batch: object) -> None:
    assert twins(batch) == ()


def test_large_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "_MAX_NUMBERS", 20 * 12)
    (one,) = twins((X, LAST))
    assert one.num_samples == 20
    monkeypatch.setattr(elements, "_MAX_NUMBERS", 15 * 12)
    assert twins((X, LAST)) == ()


def loss_of(forward: Callable[..., Tensor], target: Callable[[Tensor], Tensor] = lambda y: y, x: Tensor = X) -> LossCallSeen:
    model = Net(forward, rnn=nn.GRU(2, 4, batch_first=True), head=nn.Linear(4, 1), line=nn.Linear(12, 1), part=nn.Linear(11, 1))

    def step(x: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(model(x).squeeze(-1), target(y))

    (seen,) = loss_calls(record(model, step, x, LAST, twins=twins((x, LAST))))
    return seen


def recurrent(self: Any, x: Tensor) -> Tensor:
    return self.head(self.rnn(x)[0][:, -1])


@pytest.mark.parametrize(
    ("forward", "target"),
    [
        (recurrent, lambda y: y),
        (lambda self, x: self.line(x.flatten(1)), lambda y: y),
        (lambda self, x: self.line((x.flatten(1) - x.mean()) / x.std()), lambda y: (y - 1) / 2),
    ],
    ids=["recurrent", "flat", "scaled"],
)
def test_the_model_is_given_the_target(forward: Callable[..., Tensor], target: Callable[[Tensor], Tensor]) -> None:
    seen = loss_of(forward, target)
    assert (seen.element, seen.num_compared, seen.num_equal, seen.num_rivals) == ("batch[0][:, 5, 1]", 40, 40, 0)
    assert seen.num_target_values == 40
    assert RULE.check(seen) is not None


@pytest.mark.parametrize(
    ("forward", "target"),
    [
        (lambda self, x: self.part(x.flatten(1)[:, :11]), lambda y: y),
        (lambda self, x: self.rnn(x[:, :-1])[1] @ torch.ones(4), lambda y: y.expand(1, -1)),
        (lambda self, x: self.line(x.flatten(1) * torch.tensor([1.0] * 11 + [0.0])), lambda y: y),
        (lambda self, x: self.line(x.flatten(1).masked_fill(torch.arange(12) == 11, 0)), lambda y: y),
        (recurrent, lambda y: y.roll(1) + y),
    ],
    ids=["without the column", "without the last step", "times a mask", "masked", "other target"],
)
def test_the_model_is_not_given_it(forward: Callable[..., Tensor], target: Callable[[Tensor], Tensor]) -> None:
    assert loss_of(forward, target).element == ""


def test_evaluation_is_not_looked_at() -> None:
    model = Net(recurrent, rnn=nn.GRU(2, 4, batch_first=True), head=nn.Linear(4, 1))
    made = record(model, lambda x, y: F.mse_loss(model(x)[:, 0], y), X, LAST, stage="validate", twins=twins((X, LAST)))
    assert [each.element for each in loss_calls(made)] == [""]
