"""One optimizer of several that never steps, in real trainings: it is named, and none is that steps, rests or waits its turn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard import Finding, NNGuard, NNGuardWarning, Severity
from lightning_nnguard.observation import NoStepSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.left_out import LeftOutCollector
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks
from tests.programs import Classifier, fit, loader, seed


def findings(module: Any, *, epochs: int = 5) -> list[Finding]:
    """Fit a module for `epochs` of twenty-five steps."""
    guard = NNGuard(select=["NNG227"], every_n_steps=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NNGuardWarning)
        fit(module, guard, max_epochs=epochs, train=loader(200))
    assert guard._error == ""
    return guard.findings


class Parts(Classifier):
    """A body and a head with an optimizer each; the body's does not step."""

    def __init__(self) -> None:
        super().__init__()
        seed()
        self.automatic_optimization = False
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))  # type: ignore[assignment]

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net[0].parameters(), 0.01), torch.optim.Adam(self.net[2].parameters(), 0.01)

    def loss(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> None:
        body, head = self.optimizers()
        body.zero_grad()
        head.zero_grad()
        self.manual_backward(self.loss(batch))
        head.step()
        self.turn(body, batch_idx)

    def turn(self, body: Any, batch_idx: int) -> None:
        pass


@pytest.mark.parametrize(("epochs", "severity"), [(5, Severity.INFO), (8, Severity.WARNING)])
def test_the_one_that_never_steps_is_named(epochs: int, severity: Severity) -> None:
    (finding,) = findings(Parts(), epochs=epochs)
    assert (finding.code, finding.severity, finding.where) == ("NNG227", severity, "optimizers[0]")
    assert "`net.0.weight`, `net.0.bias`)" in finding.message
    assert finding.epoch == 2


class Rarely(Parts):
    """It steps at the end of an epoch."""

    def turn(self, body: Any, batch_idx: int) -> None:
        if batch_idx == 24:
            body.step()


class Raw(Parts):
    """Its own step is called past Lightning, on a few steps that are not sampled, too."""

    def turn(self, body: Any, batch_idx: int) -> None:
        if batch_idx == 7:
            body.optimizer.step()


class ByHand(Parts):
    """Nobody steps it; the weights are moved by hand."""

    def turn(self, body: Any, batch_idx: int) -> None:
        with torch.no_grad():
            for each in self.net[0].parameters():
                each -= 0.01 * each.grad


class Closure(Parts):
    def turn(self, body: Any, batch_idx: int) -> None:
        body.step(closure=lambda: torch.zeros(()))


class WithoutRate(Parts):
    """It steps, and its rate is zero."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.net[0].parameters(), 0.0), torch.optim.Adam(self.net[2].parameters(), 0.01)

    def turn(self, body: Any, batch_idx: int) -> None:
        body.step()


class Toggled(Parts):
    """Its parameters have no gradients until its turn comes in the fifth epoch."""

    def on_train_epoch_start(self) -> None:
        self.net[0].requires_grad_(self.current_epoch >= 4)  # type: ignore[index]

    def turn(self, body: Any, batch_idx: int) -> None:
        if self.current_epoch >= 4:
            body.step()


class Nothing(Parts):
    """Its gradients are zero."""

    def loss(self, batch: Any) -> Tensor:
        hidden = self.net[:2](batch[0])
        return F.cross_entropy(self.net[2](hidden.detach() + 0 * hidden), batch[1])


class Shared(Parts):
    """Another optimizer holds its parameters, too, with a rate of zero."""

    def configure_optimizers(self) -> Any:
        groups = [{"params": self.net[0].parameters(), "lr": 0.0}, {"params": self.net[2].parameters()}]
        return torch.optim.Adam(self.net[0].parameters(), 0.01), torch.optim.Adam(groups, 0.01)


class OneInFive(Parts):
    """It steps on one batch of five."""

    def turn(self, body: Any, batch_idx: int) -> None:
        if batch_idx % 5 == 4:
            body.step()


@pytest.mark.parametrize("build", [Rarely, Raw, ByHand, Closure, WithoutRate, Toggled, Nothing, Shared, OneInFive])
def test_silent(build: Callable[[], Parts]) -> None:
    assert findings(build()) == []


class Late(Parts):
    """Its first step comes in the fourth epoch."""

    def turn(self, body: Any, batch_idx: int) -> None:
        if self.current_epoch >= 3:
            body.step()


def test_its_first_step_ends_it() -> None:
    (finding,) = findings(Late())
    assert finding.recovered is not None


class Rank:
    """What watches two layers, of which one is stepped, on one rank."""

    def __init__(self, *, steps_both: bool = False) -> None:
        self.net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        self.optimizers = [torch.optim.SGD(each.parameters(), 0.1) for each in self.net]
        self.watch = LeftOutCollector(Parameters(self.net, Ranks()), lambda: self.optimizers)
        self.steps_both = steps_both

    def run(self, at: At) -> Tensor:
        self.watch.start_batch()
        self.net.zero_grad()
        self.watch.before_backward(at)
        self.net(torch.ones(2, 3)).square().sum().backward()
        self.watch.after_backward()
        for optimizer in self.optimizers[: 1 + self.steps_both]:
            self.watch.before_step(optimizer)
            optimizer.step()
        sums, maxima = self.watch.pack()
        assert (len(sums), len(maxima)) == self.watch.sizes
        return maxima


@pytest.mark.parametrize(("steps_there", "num_batches"), [(False, [1, 2, 3]), (True, [])])
def test_a_step_on_one_rank_is_enough(steps_there: bool, num_batches: list[int]) -> None:
    ranks = Rank(), Rank(steps_both=steps_there)
    seen: list[Any] = []
    for step in range(4):
        at = At(step=step, epoch=0, batch_index=step)
        maxima = torch.stack([rank.run(at) for rank in ranks]).amax(0).numpy()
        first, second = (rank.watch.observe(maxima[:0], maxima, at) for rank in ranks)
        assert first == second
        seen += first
    assert [each.num_batches for each in seen if isinstance(each, NoStepSeen)] == num_batches
