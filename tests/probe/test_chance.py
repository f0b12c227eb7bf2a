"""The chance level of the loss call, and the loss of a fresh network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_nnguard.probe.chance import NAMES, ChanceLevel


def settled(name: str, prediction: Tensor, target: Tensor, **changes: Any) -> list[float]:
    chance = ChanceLevel()
    chance.offer(target)
    loss = getattr(F, name)(prediction.requires_grad_(), target, **changes)
    who: Any = None
    chance.on_loss(name, (prediction, target), changes, loss, who)
    return chance.settle(loss.detach()).tolist()


def test_the_entropy_of_labels() -> None:
    level, known, name, error, fresh, is_fresh = settled("cross_entropy", torch.randn(600, 3), torch.arange(600) % 3)
    assert level == pytest.approx(torch.tensor(3.0).log().item())
    assert (known, NAMES[round(name)], is_fresh) == (1, "cross_entropy", 1)
    assert fresh == pytest.approx(level)
    assert error < 0.01


def test_the_level_of_few_targets_is_uncertain() -> None:
    target = torch.zeros(16, 1)
    target[0] = 1000.0
    level, known, name, error, fresh, is_fresh = settled("mse_loss", torch.randn(16, 1), target)
    assert (known, NAMES[round(name)], is_fresh) == (1, "mse_loss", 1)
    assert level == pytest.approx(float(target.var(correction=0)))
    assert error > 0.5 * level
    assert fresh == pytest.approx(1000.0**2 / 16, rel=1e-3)


def best(target: Tensor, **changes: Any) -> float:
    """The loss of the best constant logits, found by training them."""
    logits = torch.zeros(target.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_change=1e-12)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits.expand_as(target), target, **changes)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(closure().detach())


def test_several_ones_in_a_row_cost_as_many_classes() -> None:
    target = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]).repeat(200, 1)
    level, known, _, _, fresh, _ = settled("cross_entropy", torch.randn(800, 3), target)
    assert known
    assert level == pytest.approx(best(target), rel=1e-4)
    assert fresh == pytest.approx(float(F.cross_entropy(torch.zeros(800, 3), target)), rel=1e-5)


def test_rows_of_zeros_cost_nothing() -> None:
    target = torch.eye(3).repeat(200, 1) * (torch.arange(600) % 4 > 0)[:, None]
    level, known, _, _, fresh, _ = settled("cross_entropy", torch.randn(600, 3), target)
    assert known
    assert level == pytest.approx(best(target), rel=1e-4)
    assert fresh == pytest.approx(0.75 * torch.tensor(3.0).log().item(), rel=1e-5)


def test_probabilities_cost_their_entropy() -> None:
    target = torch.tensor([[0.7, 0.3, 0.0]]).repeat(600, 1)
    level, *_, fresh, _ = settled("cross_entropy", torch.randn(600, 3), target)
    assert level == pytest.approx(best(target), rel=1e-4)
    assert fresh == pytest.approx(torch.tensor(3.0).log().item(), rel=1e-5)


def test_weights_of_classes_scale_probabilities() -> None:
    target, weight = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.5, 0.5]]).repeat(300, 1), torch.tensor([3.0, 1.0, 2.0])
    level, *_, fresh, _ = settled("cross_entropy", torch.randn(600, 3), target, weight=weight)
    assert level == pytest.approx(best(target, weight=weight), rel=1e-4)
    assert fresh == pytest.approx(float(F.cross_entropy(torch.zeros(600, 3), target, weight=weight)), rel=1e-5)
