"""Pitfalls 5, 6, 7: in-place operations, gradients of gradients, and layers of torch that call their children past their hooks."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard import NNGuard
from lightning_nnguard.observation import ActivationSeen, GradientSeen, NonFiniteSeen, Seen, UpdateSeen
from tests.programs import Classifier, fit


class InPlace(Classifier):
    """Outputs of modules are rectified in place, by a module and by a call; the last one is negated in place."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(inplace=True), nn.Linear(16, 16), nn.ReLU(inplace=True))  # type: ignore[assignment]
        self.hidden, self.head = nn.Linear(16, 16), nn.Linear(16, 3)
        self.lows: dict[str, float] = {}

    def forward(self, x: Tensor) -> Tensor:
        x = self.hidden(self.net(x))
        self.lows["hidden"] = float(x.detach().min())
        logits: Tensor = self.head(F.relu_(x))
        self.lows["head"] = float(logits.detach().min())
        return logits.mul_(-0.5)


@pytest.mark.pitfall(5)
@pytest.mark.pitfall(6)
def test_outputs_and_gradients_are_seen_behind_in_place_rectifiers(seen: list[Seen]) -> None:
    module, guard = InPlace(), NNGuard(every_n_steps=1)
    fit(module, guard, max_epochs=1)
    assert guard._error == ""
    last = {each.where: each for each in seen if isinstance(each, ActivationSeen)}
    assert {"net.0", "net.1", "net.2", "net.3", "hidden"} <= set(last)
    for place, low in module.lows.items():  # as they were before
        assert last[place].low == pytest.approx(low), place
    assert last["net.0"].low < 0 <= last["net.1"].low
    assert last["net.0"].zero_fraction < 0.1 < last["net.1"].zero_fraction
    assert {each.where for each in seen if isinstance(each, GradientSeen)} == {name for name, _ in module.named_parameters()}


class Penalised(Classifier):
    """A penalty of the gradient, whose graph leads through itself. Counts how many losses and gradients are alive at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(inplace=True), nn.Linear(16, 3))  # type: ignore[assignment]
        self.made: list[weakref.ref[Tensor]] = []
        self.num_alive = -1

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch[0].requires_grad_()
        loss = F.cross_entropy(self(x), batch[1])
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        self.made += [weakref.ref(gradient), weakref.ref(loss)]
        return loss + gradient.square().sum()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        self.made.append(weakref.ref(loss))
        super().backward(loss, *args, **kwargs)

    def on_train_end(self) -> None:
        gc.collect()
        self.num_alive = sum(each() is not None for each in self.made)


@pytest.mark.pitfall(5)
def test_a_gradient_of_the_gradient_is_not_kept_alive() -> None:
    module, guard = Penalised(), NNGuard(every_n_steps=1)
    fit(module, guard, max_epochs=1)
    assert guard._error == ""
    assert len(module.made) == 24
    assert module.num_alive == 0


class Attends(Classifier):
    """Attention by torch's own layer; a frozen encoder in eval mode takes the fast path."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x[..., None])
        x = x + self.attention(x, x, x, need_weights=False)[0]
        logits: Tensor = self.head(x.mean(1))
        return logits

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW([*self.embed.parameters(), *self.attention.parameters(), *self.head.parameters()], 0.01)


@pytest.mark.pitfall(7)
def test_attention_is_seen_though_the_projection_in_it_is_never_called(seen: list[Seen]) -> None:
    module = Attends()
    del module.net
    guard = NNGuard(every_n_steps=1)
    fit(module, guard)
    assert guard._error == ""
    outputs = {each.where for each in seen if isinstance(each, ActivationSeen)}
    assert "attention" in outputs
    assert not any("out_proj" in each for each in outputs)  # no row without numbers
    for kind in (GradientSeen, UpdateSeen):
        assert {"attention.in_proj_weight", "attention.out_proj.weight"} <= {each.where for each in seen if isinstance(each, kind)}
    assert not any(isinstance(each, NonFiniteSeen) for each in seen)
    assert [finding.code for finding in guard.findings if "out_proj" in str(finding.places) + finding.where] == []
