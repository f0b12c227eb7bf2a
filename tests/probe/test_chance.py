"""The chance level of the loss call, and the loss of a fresh network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_nnguard.probe.chance import NAMES, ChanceLevel


def settled(name: str, prediction: Tensor, target: Tensor) -> list[float]:
    chance = ChanceLevel()
    chance.offer(target)
    loss = getattr(F, name)(prediction.requires_grad_(), target)
    who: Any = None
    chance.on_loss(name, (prediction, target), {}, loss, who)
    return chance.settle(loss.detach()).tolist()


def test_the_entropy_of_labels() -> None:
    level, known, name, error, fresh, is_fresh = settled("cross_entropy", torch.randn(600, 3), torch.arange(600) % 3)
    assert level == pytest.approx(torch.tensor(3.0).log().item())
    assert (known, NAMES[round(name)], is_fresh) == (1, "cross_entropy", 1)
    assert fresh == pytest.approx(level)
    assert error < 0.01


def test_a_loss_has_its_name_though_its_level_is_too_uncertain() -> None:
    target = torch.zeros(16, 1)
    target[0] = 1000.0
    level, known, name, _, fresh, is_fresh = settled("mse_loss", torch.randn(16, 1), target)
    assert (level, known, NAMES[round(name)], is_fresh) == (0, 0, "mse_loss", 1)
    assert fresh == pytest.approx(1000.0**2 / 16, rel=1e-3)
