"""Pitfalls 9, 14: scaled gradients in manual optimisation, and several optimizers in one batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from lightning_nnguard import GradientHistogram, NNGuard
from lightning_nnguard.observation import GradientSeen, LossSeen, Seen, UpdateSeen
from lightning_nnguard.probe.schedule import is_sampled
from tests.programs import Classifier, fit, seed


class ByHand(Classifier):
    """Manual optimisation with one optimizer, fused or not."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))  # type: ignore[assignment]
        self.fused = fused

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(F.cross_entropy(self(batch[0]), batch[1]))
        optimizer.step()

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), 0.01, fused=self.fused)


@pytest.mark.pitfall(9)
@pytest.mark.parametrize("fused", [False, True])
def test_gradients_by_hand_under_a_scaler_are_unscaled(fused: bool, seen: list[Seen]) -> None:
    def norms(**options: Any) -> list[float]:
        seed(3)
        seen.clear()
        fit(ByHand(fused=fused), GradientHistogram(every_n_steps=2), max_epochs=1, **options)
        return [each.norm for each in seen if isinstance(each, GradientSeen)]

    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    scaled, plain = norms(plugins=[MixedPrecision("16-mixed", device="cpu", scaler=scaler)]), norms()
    assert len(plain) >= 12
    assert scaled == pytest.approx(plain, rel=0.05, abs=1e-3)  # float16 against float32


class TwoOptimizers(ByHand):
    """Both optimizers step in each batch, so that `global_step` rises by two."""

    def __init__(self) -> None:
        super().__init__(fused=False)
        self.critic = nn.Linear(3, 1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        losses: list[Tensor] = [F.cross_entropy(self(batch[0]), batch[1]), self.critic(self(batch[0]).detach()).square().mean()]
        for optimizer, loss in zip(self.optimizers(), losses, strict=True):
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.net.parameters(), 0.01), torch.optim.SGD(self.critic.parameters(), 0.02)


@pytest.mark.pitfall(14)
def test_two_optimizers_are_one_step_of_the_axis_and_neither_is_dropped(seen: list[Seen]) -> None:
    module = TwoOptimizers()
    made = fit(module, NNGuard(every_n_steps=3, ignore={"NNG503": "no interest"}))
    assert made.global_step == 32
    sampled = [step for step in range(16) if is_sampled(step, 3)]
    assert sorted({each.step for each in seen if isinstance(each, LossSeen | UpdateSeen)}) == sampled
    for kind in (GradientSeen, UpdateSeen):
        for step in sampled:
            places = {each.where for each in seen if isinstance(each, kind) and each.step == step}
            assert places == {name for name, _ in module.named_parameters()}, (kind, step)
    rates = {each.where.partition(".")[0]: each.learning_rate for each in seen if isinstance(each, UpdateSeen)}
    assert rates == {"net": 0.01, "critic": 0.02}
