"""An engine that keeps gradients to itself: nothing untrue is said, and a note says what is not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy as RealOne
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lightning_nnguard import NNGuard
from lightning_nnguard.callbacks import engines
from lightning_nnguard.monitor import Monitor
from lightning_nnguard.observation import ActivationSeen, GapSeen, LossSeen, OptimizerSeen, ParameterSeen, Seen
from lightning_nnguard.probe.parts import OF_PARAMETERS
from tests.programs import Classifier, fit, loader


class Engine(SingleDeviceStrategy):
    """Does what DeepSpeed does, without an accelerator: gradients leave their parameters, and the optimizer holds a flat copy."""

    def __init__(self) -> None:
        super().__init__(device=torch.device("cpu"))
        self.gradient = torch.zeros(0)

    @property
    def parameters(self) -> list[nn.Parameter]:
        assert self.lightning_module is not None
        return list(self.lightning_module.parameters())

    def setup_optimizers(self, trainer: pl.Trainer) -> None:
        self.flat = nn.Parameter(parameters_to_vector(self.parameters).detach().clone())
        self.optimizers = [torch.optim.SGD([self.flat], 0.05)]

    def post_backward(self, closure_loss: Any) -> None:
        self.gradient = parameters_to_vector([each.grad for each in self.parameters if each.grad is not None])
        for each in self.parameters:
            each.grad = None

    def optimizer_step(self, optimizer: Any, closure: Any, model: Any = None, **kwargs: Any) -> Any:
        closure()
        self.flat.grad = self.gradient
        optimizer.step()
        with torch.no_grad():
            vector_to_parameters(self.flat, self.parameters)


class DeepSpeedStrategy(Engine):
    pass


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> set[type[Seen]]:
    """The kinds of observation that reach the rules."""
    found: set[type[Seen]] = set()
    see = Monitor.see

    def sees(monitor: Monitor, observations: Sequence[Seen]) -> Any:
        found.update(type(each) for each in observations)
        return see(monitor, observations)

    monkeypatch.setattr(Monitor, "see", sees)
    return found


def run(strategy: Engine, folder: Path) -> list[str]:
    pl.seed_everything(0, verbose=False)
    guard = NNGuard(every_n_steps=2)
    made = {"strategy": strategy, "accelerator": "auto", "devices": "auto", "default_root_dir": folder}
    fit(Classifier(), guard, train=loader(128), validation=loader(24), max_epochs=4, **made)
    return [each.code for each in guard.findings if each.severity.name != "INFO"]


def test_parameters_are_not_judged_where_an_engine_has_their_gradients(
    tmp_path: Path, kinds: set[type[Seen]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(DeepSpeedStrategy(), tmp_path) == []
    assert not kinds & OF_PARAMETERS
    assert {LossSeen, ActivationSeen, GapSeen} <= kinds
    assert "DeepSpeedStrategy keeps gradients" in capsys.readouterr().err


def test_they_are_elsewhere(tmp_path: Path, kinds: set[type[Seen]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Engine(), tmp_path) == []  # somebody moves the weights, which is enough to be silent
    assert {ParameterSeen, OptimizerSeen} <= kinds & OF_PARAMETERS
    assert "keeps gradients" not in capsys.readouterr().err


def test_it_is_the_name_of_lightnings_strategy() -> None:
    assert {RealOne.__name__} == engines._ENGINES
