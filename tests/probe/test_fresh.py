"""Weights as torch initialises them, and all others."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard import NNGuard, NNGuardWarning, Severity
from lightning_nnguard.probe.fresh import have_copies, look_fresh
from tests.programs import Classifier, fit, loader


def weights(net: nn.Module) -> list[tuple[nn.Module, Tensor]]:
    return [(module, each) for module in net.modules() for each in module.parameters(recurse=False) if each.dim() > 1]


def changed(net: nn.Module, change: Callable[[Tensor], Any]) -> nn.Module:
    with torch.no_grad():
        change(weights(net)[0][1])
    return net


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Sequential(nn.Linear(20, 30), nn.LayerNorm(30), nn.Linear(30, 20)),
        lambda: nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ConvTranspose2d(16, 8, 3)),
        lambda: nn.Sequential(nn.Embedding(100, 16), nn.LSTM(16, 24)),
        lambda: nn.GRU(8, 24, num_layers=2),
        lambda: nn.Linear(40, 25),
        lambda: nn.Sequential(nn.Linear(40, 25), nn.Linear(25, 1)),
    ],
    ids=["linear", "convolutions", "lstm", "gru", "one of many values", "a small one beside"],
)
def test_as_torch_initialises(build: Callable[[], nn.Module]) -> None:
    assert look_fresh(weights(build()))


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Linear(33, 30),
        lambda: nn.Embedding(100, 16),
        lambda: nn.BatchNorm2d(4),
        lambda: changed(nn.Linear(40, 40), lambda weight: weight.mul_(1.01)),
        lambda: changed(nn.Linear(40, 40), lambda weight: weight.mul_(0.92)),
        lambda: changed(nn.Linear(40, 40), nn.init.xavier_uniform_),
        lambda: changed(nn.Linear(40, 40), nn.init.orthogonal_),
        lambda: changed(nn.Linear(40, 40), lambda weight: nn.init.normal_(weight, std=0.02)),
        lambda: changed(nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40)), lambda weight: weight[0].add_(0.1)),
        lambda: nn.Sequential(nn.Linear(40, 40), nn.MultiheadAttention(40, 2)),
        lambda: changed(nn.Sequential(nn.Embedding(100, 16), nn.LSTM(16, 24)), lambda weight: weight.mul_(0.5)),
    ],
    ids=[
        "one of few values", "an embedding", "a norm", "larger", "smaller", "xavier", "orthogonal", "normal",
        "one trained layer of two", "attention", "pretrained embedding",
    ],
)  # fmt: skip
def test_otherwise(build: Callable[[], nn.Module]) -> None:
    assert not look_fresh(weights(build()))


def test_copies_have_a_trained_part_of_their_shapes() -> None:
    one, two, other = torch.zeros(3, 4), torch.ones(3, 4), torch.zeros(4, 3)
    assert have_copies([one], [two, other])
    assert not have_copies([one, two], [two, other])


class Headed(Classifier):
    """A body that runs without gradients, and a head that learns."""

    def __init__(self, *, twin: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.twin = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()) if twin else None
        self.net = nn.Linear(32, 3)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = self.body(x)
        out: Tensor = self.net(h if self.twin is None else h + self.twin(x))
        return out

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


class Loaded(Headed):
    """Its body is loaded, from what happens to be fresh."""

    def on_fit_start(self) -> None:
        self.body.load_state_dict(self.body.state_dict())


class Trained(Headed):
    def on_fit_start(self) -> None:
        with torch.no_grad():
            for each in self.body.parameters():
                each.mul_(1.5)


@pytest.mark.parametrize(
    ("build", "severity"),
    [
        (Headed, Severity.WARNING),
        (Loaded, Severity.INFO),
        (Trained, Severity.INFO),
        (lambda: Headed(twin=True), Severity.INFO),
    ],
    ids=["fresh", "loaded", "trained", "a copy of a part that learns"],
)
def test_a_body_without_gradients(build: Callable[[], Any], severity: Severity) -> None:
    guard = NNGuard(select=["NNG202"], every_n_steps=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NNGuardWarning)
        fit(build(), guard, max_epochs=4, train=loader(256))
    assert guard._error == ""
    (finding,) = guard.findings
    assert finding.severity is severity
    assert len(finding.places) == 4
