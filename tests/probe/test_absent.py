"""Optimizers none of whose parameters ever gets a gradient, while those of another one do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from lightning_nnguard.observation import AbsentGradientSeen
from lightning_nnguard.probe.absent import AbsentCollector
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks


class Pair:
    """A net and a critic, each with an optimizer of its own, and what watches them."""

    def __init__(self, cuts: Mapping[str, Sequence[str]] | None = None) -> None:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.model = nn.ModuleDict({"net": net, "critic": nn.Linear(4, 1)})
        self.optimizers = [torch.optim.SGD(each.parameters(), 0.1) for each in self.model.values()]
        self.collector = AbsentCollector(
            self.model, Parameters(self.model, Ranks()), optimizers=lambda: self.optimizers, cuts=lambda: cuts or {}
        )
        self.step = -1

    def run(self, loss: str = "cut", *, steps: Sequence[int] = (0, 1), sampled: bool = True) -> None:
        """Train one batch; `loss` says what becomes of the net: "cut", "whole", "unused", "without grad" or "none" for no loss."""
        self.step += 1
        if sampled:
            self.collector.start_batch()
        x = torch.ones(2, 4)
        for each in self.optimizers:
            each.zero_grad()
        if loss == "without grad":
            with torch.no_grad():
                made = self.model["net"](x)
        else:
            made = x if loss == "unused" else self.model["net"](x)
        out: Tensor = self.model["critic"](made.detach() if loss == "cut" else made)
        if loss != "none":
            out.square().sum().backward()
            if self.collector.has_absent:
                self.collector.after_backward()
        for index in steps:
            self.collector.before_step(self.optimizers[index], self.step, sampled=sampled)
            self.optimizers[index].step()
        if sampled:
            self.collector.end_batch()

    def seen(self) -> list[AbsentGradientSeen]:
        sums, maxima = self.collector.pack()
        return list(self.collector.observe(sums.numpy(), maxima.numpy(), At(step=self.step, epoch=0, batch_index=self.step)))


def run(pair: Pair, times: int, loss: str = "cut", **how: object) -> list[AbsentGradientSeen]:
    for _ in range(times):
        pair.run(loss, **how)
    return pair.seen()


def test_an_optimizer_without_any_gradient_is_one_place():
    cuts = {
        "net.0.weight": ("a.py:3, `made.detach()`",),
        "net.1.bias": ("a.py:3, `made.detach()`", "a.py:5, `made.data`"),
        "c": ("d",),
    }
    (seen,) = run(Pair(cuts), 5)
    assert (seen.where, seen.optimizer, seen.num_parameters, seen.num_steps) == ("optimizers[0]", "SGD", 4, 5)
    assert (seen.module, seen.was_called, seen.is_switched_off, seen.was_moved) == ("net", True, False, False)
    assert seen.cuts == ("a.py:3, `made.detach()`", "a.py:5, `made.data`")


def test_steps_that_are_not_sampled_count():
    pair = Pair()
    pair.run()
    for _ in range(7):
        pair.run(sampled=False)
    (seen,) = run(pair, 1)
    assert seen.num_steps == 9


@pytest.mark.parametrize(("loss", "was_called", "is_switched_off"), [("unused", False, False), ("without grad", True, True)])
def test_how_the_module_is_called(loss, was_called, is_switched_off):
    (seen,) = run(Pair(), 3, loss)
    assert (seen.was_called, seen.is_switched_off) == (was_called, is_switched_off)


def test_an_optimizer_with_a_gradient_is_not_seen():
    assert run(Pair(), 3, "whole") == []


def test_one_that_does_not_step_is_not_seen():
    assert run(Pair(), 3, steps=[1]) == []


def test_nothing_is_odd_where_nobody_has_a_gradient():
    assert not [each for each in run(Pair(), 3, "none") if each.optimizer]


def test_frozen_parameters_are_not_meant():
    pair = Pair()
    pair.model["net"].requires_grad_(False)
    assert run(pair, 3) == []


def test_a_gradient_ends_it():
    pair = Pair()
    assert run(pair, 3)[0].num_steps == 3
    seen = run(pair, 1, "whole")
    assert [each.num_steps for each in seen if each.where == "optimizers[0]"] == [0]
    assert {each.num_steps for each in seen} == {0}
    assert not [each for each in run(pair, 3) if each.optimizer]


def test_a_gradient_on_a_step_that_is_not_sampled_ends_it():
    pair = Pair()
    run(pair, 3)
    pair.run("whole", sampled=False)
    assert {each.num_steps for each in run(pair, 2)} == {0}


def test_weights_that_something_else_moves_are_known():
    pair = Pair()
    pair.seen()
    run(pair, 2)
    with torch.no_grad():
        pair.model["net"][0].weight.add_(1)
    assert [each.was_moved for each in run(pair, 1)] == [True]


def test_one_part_alone_without_a_gradient_is_told_by_itself():
    pair = Pair()
    pair.optimizers = [torch.optim.SGD(pair.model.parameters(), 0.1)]
    seen = run(pair, 3, steps=[0])
    assert {each.where for each in seen} == {"net.0.weight", "net.0.bias", "net.1.weight", "net.1.bias"}
    assert {each.optimizer for each in seen} == {""}
