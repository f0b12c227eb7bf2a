"""The collectors between steps, by themselves: merging over ranks, nothing that waits, bounded work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lightning_nnguard.observation import AbsentGradientSeen, ClearingSeen, NoStepSeen, Seen, SymmetrySeen
from lightning_nnguard.probe import leaks
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.steps import KINDS, StepWatch


class Rank:
    """A model with one part that is used only when told, and what watches it on one rank."""

    def __init__(self, net: nn.Module | None = None, calls: str = "clear backward step") -> None:
        torch.manual_seed(0)
        self.model = nn.ModuleDict({"net": net or nn.Linear(6, 3), "spare": nn.Linear(3, 3)})
        self.watch_anew()
        self.calls, self.step = calls.split(), -1

    def watch_anew(self) -> None:
        """Begin to watch the model as it is now."""
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1, momentum=0.9)
        parameters = Parameters(self.model, Ranks())
        self.watch = StepWatch(
            self.model, parameters, KINDS, ranks=Ranks(), optimizers=lambda: [self.optimizer], attempts=Attempts(pytest.fail)
        )

    def run(self, *, uses_spare: bool = False, sampled: bool = True) -> None:
        """Run a step, as in automatic optimisation."""
        self.step += 1
        at = At(step=self.step, epoch=0, batch_index=self.step)
        if sampled:
            self.watch.start_batch()
        out = self.model["net"](torch.ones(2, 6))
        loss = (self.model["spare"](out) if uses_spare else out).square().sum()
        for call in self.calls:
            if call == "clear":
                self.optimizer.zero_grad()
            elif call == "backward":
                self.watch.before_backward(at)
                loss.backward()
                if sampled:
                    self.watch.after_backward(sampled=True)
            else:
                self.watch.before_step(self.optimizer, at, sampled=sampled)
                self.optimizer.step()
        if sampled:
            self.watch.end_batch(at)

    def packed(self) -> dict[str, tuple[Tensor, Tensor]]:
        return {name: each.pack() for name, each in self.watch.collectors.items() if each is not None}

    def observed(self, packed: dict[str, tuple[Tensor, Tensor]]) -> list[Seen]:
        at = At(step=self.step, epoch=0, batch_index=self.step)
        collectors = {name: each for name, each in self.watch.collectors.items() if each is not None}
        return [seen for name, each in collectors.items() for seen in each.observe(*(part.numpy() for part in packed[name]), at)]


def merged(ranks: Sequence[Rank]) -> list[Seen]:
    """Merge what two ranks pack and return what the first makes of it, which must be what the other does."""
    one, other = (rank.packed() for rank in ranks)
    both = {name: (one[name][0] + other[name][0], torch.maximum(one[name][1], other[name][1])) for name in one}
    first, second = (
        rank.observed({name: (sums.clone(), maxima.clone()) for name, (sums, maxima) in both.items()}) for rank in ranks
    )
    assert first == second
    return first


def of(kind: type[Seen], seen: Sequence[Seen]) -> list[Any]:
    return [each for each in seen if isinstance(each, kind)]


def test_a_gradient_on_one_rank_is_enough() -> None:
    ranks = Rank(), Rank()
    for _ in range(4):
        for rank in ranks:
            rank.run()
        seen = merged(ranks)
    assert [(each.where, each.num_steps) for each in of(AbsentGradientSeen, seen)] == [("spare.weight", 4), ("spare.bias", 4)]
    ranks[0].run(uses_spare=True)
    ranks[1].run()
    for _ in range(2):
        assert [(each.where, each.num_steps) for each in of(AbsentGradientSeen, merged(ranks))] == [
            ("spare.weight", 0),
            ("spare.bias", 0),
        ]
        for rank in ranks:
            rank.run()


def test_a_gradient_on_a_step_that_is_not_sampled_is_enough() -> None:
    rank = Rank()
    for _ in range(4):
        rank.run()
    assert of(AbsentGradientSeen, rank.observed(rank.packed()))
    rank.run(uses_spare=True, sampled=False)
    rank.run()
    assert {each.num_steps for each in of(AbsentGradientSeen, rank.observed(rank.packed()))} == {0}


def test_steps_without_any_gradient_do_not_count() -> None:
    rank = Rank()
    rank.run()
    rank.calls = ["clear", "step"]
    for _ in range(5):
        rank.run(sampled=False)
    rank.calls = ["clear", "backward", "step"]
    rank.run()
    assert {each.num_steps for each in of(AbsentGradientSeen, rank.observed(rank.packed()))} == {2}


def test_what_is_frozen_for_a_step_alone_is_not_judged() -> None:
    rank = Rank()
    rank.run()
    frozen = rank.watch._frozen
    assert frozen is not None
    for thaws in (False, True):
        rank.model.requires_grad_(False)
        frozen.before_step(rank.optimizer)
        rank.model.requires_grad_(thaws)
        frozen.end_batch()
        assert frozen.has_words != thaws


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_calls_are_watched_where_a_hook_changes_nothing() -> None:
    spare = nn.ModuleDict(
        {"layer": nn.TransformerEncoderLayer(4, 2, 4), "script": torch.jit.script(nn.Linear(2, 2)), "plain": nn.Linear(2, 2)}
    )
    rank = Rank(nn.Sequential(nn.Linear(6, 3)))
    rank.model["spare"] = spare
    rank.watch_anew()
    hooked = set()
    for _ in range(3):
        rank.run()
        rank.watch.start_batch()
        hooked |= {
            name
            for name, each in rank.model.named_modules()
            if not isinstance(each, torch.jit.ScriptModule) and each._forward_hooks
        }
        seen = rank.observed(rank.packed())
    rank.watch.abandon()
    assert hooked == {"spare.plain"}
    assert not any(each._forward_hooks for each in spare["plain"].modules())
    called = {each.where: each.was_called for each in of(AbsentGradientSeen, seen)}
    assert called.pop("spare.plain.weight") is called.pop("spare.plain.bias") is False
    assert set(called.values()) == {None}


@pytest.mark.parametrize(("calls", "kind"), [("backward step", ClearingSeen), ("clear backward", NoStepSeen)])
def test_a_fault_in_the_order_is_one_of_all_ranks(calls: str, kind: type[Seen]) -> None:
    wrong, right = (Rank(calls=calls), Rank(calls=calls)), (Rank(calls=calls), Rank())
    for _ in range(8):
        for rank in (*wrong, *right):
            rank.run()
    assert of(kind, merged(wrong))
    assert not of(kind, merged(right))


def test_zeros_of_a_rank_that_stands_by_silence_faults() -> None:
    rank = Rank(calls="backward step")
    for _ in range(8):
        rank.run()
    packed = rank.packed()
    sizes = {name: each.sizes for name, each in rank.watch.collectors.items() if each is not None}
    assert {name: (len(sums), len(maxima)) for name, (sums, maxima) in packed.items()} == sizes
    nothing = {name: torch.maximum(maxima, torch.zeros_like(maxima)) for name, (_, maxima) in packed.items()}
    seen = rank.observed({name: (packed[name][0], nothing[name]) for name in packed})
    assert not of(ClearingSeen, seen)
    assert not of(AbsentGradientSeen, seen)


def constant() -> nn.Linear:
    layer = nn.Linear(6, 3)
    nn.init.constant_(layer.weight, 0.1)
    nn.init.zeros_(layer.bias)
    return layer


def test_units_that_are_alike() -> None:
    rank = Rank(constant())
    gaps = []
    for _ in range(4):
        rank.run()
        gaps.append(
            [(each.where, each.num_units, each.gap, each.num_steps) for each in of(SymmetrySeen, rank.observed(rank.packed()))]
        )
    assert gaps == [[], [], [("net.weight", 3, 0.0, 2)], [("net.weight", 3, 0.0, 3)]]


def test_a_weight_that_started_at_zero() -> None:
    layer = constant()
    nn.init.zeros_(layer.weight)
    rank = Rank(nn.Sequential(layer, nn.Sigmoid()))
    seen: list[Seen] = []
    for _ in range(3):
        rank.run()
        seen = of(SymmetrySeen, rank.observed(rank.packed()))
    assert [(each.where, each.zero_initialised) for each in seen] == [("net.0.weight", True)]


def test_nan_is_no_sign_of_likeness() -> None:
    rank = Rank(constant())
    for _ in range(2):
        rank.run()
        rank.observed(rank.packed())
    with torch.no_grad():
        rank.model["net"].weight[1] = torch.nan
    rank.run()
    assert of(SymmetrySeen, rank.observed(rank.packed())) == []


@pytest.mark.parametrize("calls", ["clear backward step", "backward step", "backward clear step", "clear backward"])
def test_nothing_waits_for_an_accelerator(calls: str) -> None:
    with FakeTensorMode():
        rank = Rank(constant(), calls)
        for _ in range(10):
            rank.run()
            rank.packed()
        rank.model.requires_grad_(False)
        frozen = rank.watch._frozen
        assert frozen is not None
        frozen.before_step(rank.optimizer)
        frozen.end_batch()
        frozen.pack()
        assert frozen.has_words == ("clear" not in calls.split()[1:])


def test_the_values_of_gradients_are_looked_at_on_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_nnguard.probe.flow import _Flow

    num = 0
    smallest = _Flow.smallest

    def counted(self: _Flow) -> Tensor:
        nonlocal num
        num += 1
        return smallest(self)

    monkeypatch.setattr(_Flow, "smallest", counted)
    rank = Rank(calls="backward step")
    for _ in range(50):
        rank.run()
    assert num == 8 + 3  # after backward passes on 8 sampled steps, and before 3 of them


# -- graphs --------------------------------------------------------------------------------------------------------------------


def graph() -> Tensor:
    return torch.ones((), requires_grad=True) * 2


def pairs(num: int) -> list[Any]:
    return [(graph(), i) for i in range(num)]


@pytest.mark.parametrize(
    ("value", "num"),
    [
        ([], 0),
        ([torch.ones(())] * 50, 0),
        (pairs(50), 50),
        (pairs(500), 500),
        (deque(pairs(500)), 500),
        (dict(enumerate(pairs(500))), 500),
        ({"losses": [graph(), graph()], "names": ["a"]}, 2),
        ({graph() for _ in range(40)}, 40),
        (graph(), 1),
        (sum(graph() for _ in range(50)), 50),
        ("text", 0),
    ],
    ids=["empty", "numbers", "pairs", "many", "deque", "dict", "nested", "set", "tensor", "sum", "text"],
)
def test_graphs_are_counted(value: object, num: int) -> None:
    assert round(leaks._graphs(value, 2, [1000])) == pytest.approx(num, abs=1)


class Settings(Mapping[str, Any]):
    """A mapping of the user's own, whose values know no order from behind."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._own = values

    def __getitem__(self, key: str) -> Any:
        return self._own[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def test_graphs_in_a_mapping_of_the_users_own() -> None:
    values = {str(i): torch.ones((), requires_grad=True) * 2 for i in range(500)}
    assert round(leaks._graphs(Settings(values), 2, [1000])) == 500


@pytest.mark.parametrize("build", [list, deque, tuple, lambda each: dict(enumerate(each))])
def test_a_large_container_costs_little(build: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    graphs = leaks._graphs

    def counted(value: object, depth: int, room: list[int]) -> float:
        looks.append(value)
        return graphs(value, depth, room)

    monkeypatch.setattr(leaks, "_graphs", counted)
    model = nn.Module()
    model.kept = build([[torch.ones(())] * 100] * 200_000)
    assert dict(leaks._held([("", model)])) == {"kept": 0}
    assert 0 < len(looks) < 20_000


def test_a_watcher_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    attempts, model = Attempts(notes.append), nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    watch = StepWatch(model, Parameters(model, Ranks()), KINDS, ranks=Ranks(), optimizers=lambda: [optimizer], attempts=attempts)
    monkeypatch.setattr(leaks.LeakCollector, "end_batch", lambda *args: [][0])
    watch.end_batch(At(step=0, epoch=0, batch_index=0))
    assert [note.partition(" turned off")[0] for note in notes] == ["held graphs"]
    assert not attempts.is_off("order of steps", "absent gradients", "frozen parameters", "symmetry")
