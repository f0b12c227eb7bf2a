"""Lines that cut parameters off from a loss."""

from __future__ import annotations

import torch
from torch import nn

from lightning_nnguard.probe.audit.severed import severed
from tests.probe.audit.recording import Net, record

X = torch.randn(4, 3)


def lines(forward) -> dict[str, list[str]]:
    model = Net(forward, net=nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)), critic=nn.Linear(3, 1))
    return {name: list(each) for name, each in severed(record(model, model, X)).items()}


def without_grad(self, x):
    with torch.no_grad():
        made = self.net(x)
    return self.critic(made).sum()


def test_what_is_detached():
    found = lines(lambda self, x: self.critic(self.net(x).detach()).sum())
    assert set(found) == {"net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias"}
    assert all("detach()" in line for each in found.values() for line in each)


def test_what_runs_without_gradients():
    found = lines(without_grad)
    assert set(found) == {"net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias"}
    assert all(line.endswith("(gradients switched off)") for each in found.values() for line in each)


def test_nothing_is_cut_off():
    assert lines(lambda self, x: self.critic(self.net(x)).sum()) == {}
