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
        """Train one batch.

        Args:
            loss: What becomes of the net: "cut", "half", "whole", "unused" or "without grad"; "none" for no loss at all.
            steps: The optimizers that step.
            sampled: Whether the step is sampled.
        """
        self.step += 1
        if sampled:
            self.collector.start_batch()
        x = torch.ones(2, 4)
        for each in self.optimizers:
            each.zero_grad()
        if loss == "without grad":
            with torch.no_grad():
                made = self.model["net"](x)
        elif loss == "half":
            made = self.model["net"][1](self.model["net"][0](x).detach())
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

    def seen(self, epoch: int = 0, others: Mapping[int | tuple[int, int], float] | None = None) -> list[AbsentGradientSeen]:
        """Return what is seen; `others` are the maxima that another rank makes larger."""
        sums, maxima = self.collector.pack()
        for place, value in (others or {}).items():
            maxima.view(3, -1)[place] = value
        return list(self.collector.observe(sums.numpy(), maxima.numpy(), At(step=self.step, epoch=epoch, batch_index=self.step)))


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
    pair = Pair()
    for _ in range(3):
        assert run(pair, 1, "none") == []
        assert run(pair, 2, "none", sampled=False) == []


def test_steps_before_anybody_has_a_gradient_do_not_count():
    pair = Pair()
    assert run(pair, 5, "none") == []
    assert [(each.where, each.num_steps) for each in run(pair, 2)] == [("optimizers[0]", 2)]


def test_weights_that_are_fitted_before_anybody_has_a_gradient_are_not_moved():
    pair = Pair()
    run(pair, 2, "none")
    with torch.no_grad():
        pair.model["net"][0].weight.add_(1)
    run(pair, 1, "none")
    assert [each.was_moved for each in run(pair, 2)] == [False]


def test_frozen_parameters_are_not_meant():
    pair = Pair()
    pair.model["net"].requires_grad_(False)
    assert run(pair, 3) == []


def test_a_member_that_is_frozen_between_two_looks_is_left_out():
    pair = Pair()
    pair.run()
    pair.model["net"][0].bias.requires_grad_(False)
    pair.run(sampled=False)
    seen = run(pair, 1, steps=[1])
    assert [(each.where, each.num_parameters, each.num_steps) for each in seen] == [("optimizers[0]", 3, 2)]


def test_a_member_of_two_idle_optimizers_belongs_to_both():
    pair = Pair()
    pair.optimizers.append(torch.optim.Adam(pair.model["net"][0].parameters()))
    seen = run(pair, 3, steps=[0, 1, 2])
    assert [(each.where, each.num_parameters) for each in seen] == [("optimizers[0]", 4), ("optimizers[2]", 2)]


def test_a_member_that_an_optimizer_with_gradients_holds_too_is_told_by_itself():
    pair = Pair()
    pair.optimizers[1] = torch.optim.SGD([*pair.model["critic"].parameters(), pair.model["net"][0].weight], 0.1)
    run(pair, 2, steps=[1, 0])
    seen = run(pair, 2, steps=[1])
    told = [(each.where, each.num_parameters, each.num_steps) for each in seen]
    assert told == [("optimizers[0]", 3, 2), ("net.0.weight", 1, 4)]


def test_an_optimizer_that_was_replaced_is_not_seen():
    pair = Pair()
    pair.run()
    old, pair.optimizers[0] = pair.optimizers[0], torch.optim.Adam(pair.model["net"][1].parameters())
    seen = run(pair, 2)
    del old  # until here, lest its id is used again
    assert [(each.where, each.optimizer, each.num_steps) for each in seen] == [("optimizers[0]", "Adam", 2)]


def test_a_part_is_counted_from_the_first_gradient_of_its_optimizer_on():
    pair = Pair()
    run(pair, 5)
    pair.run("half")
    pair.run("half")
    seen = {each.where: each for each in pair.seen(epoch=5) if each.num_steps}
    assert set(seen) == {"net.0.weight", "net.0.bias"}
    assert {(each.num_steps, each.num_epochs) for each in seen.values()} == {(2, 0)}


def test_a_part_is_not_counted_between_that_gradient_and_the_next_look():
    pair = Pair()
    run(pair, 5)
    pair.run("half", sampled=False)
    assert {each.num_steps for each in run(pair, 1, steps=[1])} == {0}


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


def test_a_gradient_on_another_rank_ends_it():
    pair = Pair()
    run(pair, 3)
    pair.run()
    assert ("optimizers[0]", 0) in [(each.where, each.num_steps) for each in pair.seen(others={0: 1})]


@pytest.mark.parametrize("place", [1, (1, 0)], ids=["any parameter", "one parameter"])
def test_a_rank_that_has_not_counted_does_not_end_it(place):
    pair = Pair()
    run(pair, 3)
    assert not [each for each in pair.seen(others={place: 0}) if each.optimizer]
    assert [each.num_steps for each in run(pair, 1)] == [4]


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
