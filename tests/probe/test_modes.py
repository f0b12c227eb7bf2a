"""How dropout really ran."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lightning_nnguard.observation import ModeSeen, Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.forward import ForwardWatch
from lightning_nnguard.probe.frames import Caller
from lightning_nnguard.probe.functions import ATTENTIONS, BATCH_NORMS, DROPOUTS, RECURRENT
from lightning_nnguard.probe.modes import ModeCollector
from lightning_nnguard.probe.ranks import Ranks

AT = At(step=0, epoch=0, batch_index=0)


def seen(model: nn.Module, *inputs: object, stage: Stage = "validate", times: int = 1) -> list[ModeSeen]:
    collector = ModeCollector(model, ranks=Ranks(), device=torch.device("cpu"), optimized=set)
    collector.stage = stage
    listeners = {
        function: (name, listener)
        for functions, listener in (
            (DROPOUTS, collector.on_dropout), (ATTENTIONS, collector.on_attention), (RECURRENT, collector.on_recurrent),
            (BATCH_NORMS, collector.on_batch_norm),
        )
        for function, name in functions.items()
    }  # fmt: skip
    watch = ForwardWatch(model, activations=None, listeners=listeners, on_error=lambda error: pytest.fail(repr(error)))
    watch.look()
    watch.attach_functions(None, uncompiled=False)
    for _ in range(times):
        model(*inputs)
    watch.detach()
    return list(collector.merge(AT))


@pytest.mark.parametrize("as_list", [False, True], ids=["tuple", "list"])
@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.3, True), (0.3, False)])
def test_recurrent_dropout_whatever_holds_the_states(rate: float, training: bool, as_list: bool) -> None:
    model = nn.Sequential(nn.LSTM(4, 5, num_layers=2, dropout=rate)).train(training)
    states = (torch.zeros(2, 3, 5), torch.zeros(2, 3, 5))
    found = seen(model[0], torch.randn(6, 3, 4), list(states) if as_list else states)
    assert [(each.rate, each.training) for each in found] == ([(rate, training)] if rate else [])


@pytest.mark.parametrize(("stage", "times", "is_meant"), [("test", 9, False), ("test", 10, True), ("train", 10, False)])
def test_dropout_that_samples_runs_many_times_in_a_batch(stage: Stage, times: int, is_meant: bool) -> None:
    (found,) = seen(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2)), torch.randn(3, 4), stage=stage, times=times)
    assert (found.training, found.is_meant) == (True, is_meant)


def in_training(model: nn.Module, *inputs: object) -> list[ModeSeen]:
    return [each for each in seen(model, *inputs, stage="train") if not each.training]


def test_what_is_frozen_in_mid_training_is_frozen() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    collector = ModeCollector(
        model, ranks=Ranks(), device=torch.device("cpu"), optimized=lambda: {id(p) for p in model.parameters()}
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    model[1].eval()
    assert not collector._is_switched_off(model[1])
    model.requires_grad_(False)
    optimizer.zero_grad()
    assert collector._is_switched_off(model[1])


def test_batch_norm_that_was_put_into_eval_mode_by_itself() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model[1].eval()
    (fresh,) = in_training(model, torch.randn(8, 4))
    assert not fresh.is_meant  # its statistics are 0 and 1
    model.train()(torch.randn(8, 4))
    model[1].eval()
    (found,) = in_training(model, torch.randn(8, 4))
    assert found.is_meant
    (whole,) = in_training(model.eval(), torch.randn(8, 4))
    assert not whole.is_meant


def test_dropout_with_and_without_in_one_batch() -> None:
    class Both(nn.Module):
        def __init__(self, *, resets: bool) -> None:
            super().__init__()
            self.drop, self.resets = nn.Dropout(0.3), resets

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            clean = self.drop.eval()(x)
            noisy: torch.Tensor = clean + self.drop.train()(x)
            self.drop.train(not self.resets)
            return noisy

    assert [each.is_meant for each in seen(Both(resets=True), torch.randn(3, 4)) if each.training] == [True]
    assert [each.is_meant for each in seen(Both(resets=False), torch.randn(3, 4)) if each.training] == [False]


def test_batch_norm_that_ran_in_train_mode_before_it_was_put_into_eval_mode() -> None:
    norm = nn.BatchNorm1d(4)
    model = nn.Sequential(norm)
    collector = ModeCollector(model, ranks=Ranks(), device=torch.device("cpu"), optimized=set)
    who = Caller(path="0", module_id=id(norm), is_library=True, source=None, functions=())
    arguments = torch.randn(8, 4), norm.running_mean
    for training in (True, False):
        norm.train(training)
        collector.on_batch_norm("batch_norm", arguments, {"training": training}, None, who)
        (found,) = collector.merge(AT)
    assert found.is_meant
