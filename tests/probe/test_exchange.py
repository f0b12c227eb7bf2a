"""The exchange between ranks: a collector that fails on one is off on all, and sizes always agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_nnguard.observation import Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.exchange import Exchange
from lightning_nnguard.probe.ranks import Ranks, pack

AT = At(step=3, epoch=1, batch_index=3)
CPU = torch.device("cpu")


class Two:
    """Two ranks in one process: what each merges is merged with what the other has sent last."""

    def __init__(self) -> None:
        self.sent: dict[int, tuple[Tensor, Tensor]] = {}

    def rank(self, index: int) -> Ranks:
        outer = self

        class Fake(Ranks):
            def merge(self, sums: Tensor, maxima: Tensor) -> None:
                outer.sent[index] = sums.clone(), maxima.clone()
                if 1 - index in outer.sent:
                    theirs = outer.sent[1 - index]
                    assert [len(each) for each in theirs] == [len(sums), len(maxima)]
                    sums += theirs[0]
                    maxima.copy_(torch.maximum(maxima, theirs[1]))

        return Fake(rank=index, world_size=2)


class Collects:
    """A collector of two numbers, that can be told to fail."""

    def __init__(self, value: float) -> None:
        self.value, self.fails, self.observed = value, "", 0

    @property
    def sizes(self) -> tuple[int, int]:
        return 2, 1

    def pack(self) -> tuple[Tensor, Tensor]:
        if self.fails == "pack":
            raise ZeroDivisionError("ours")
        return torch.full((3 if self.fails == "size" else 2,), self.value), torch.full((1,), self.value)

    def observe(self, sums: Any, maxima: Any, at: At) -> Sequence[Seen]:
        if self.fails == "observe":
            raise ZeroDivisionError("ours")
        self.observed += 1
        self.last = sums.tolist(), maxima.tolist()
        return [Seen(step=at.step, epoch=at.epoch, where=str(self.value))]


def exchange(collectors: dict[str, Collects], ranks: Ranks) -> tuple[Exchange, list[str]]:
    errors: list[str] = []
    made = Exchange(collectors, ranks=ranks, device=CPU, on_error=lambda error, name: errors.append(f"{name}: {error}"))  # type: ignore[arg-type]
    return made, errors


def test_numbers_come_back_to_whom_they_belong() -> None:
    collectors = {"a": Collects(1.0), "b": Collects(2.0)}
    made, errors = exchange(collectors, Ranks())
    assert made.read(1) is None
    made.send(torch.tensor([7.0]), AT)
    assert made.is_pending
    result = made.read(1)
    assert result is not None
    own, at, seen = result
    assert (own.tolist(), at) == ([7.0], AT)
    assert [each.where for part in seen.values() for each in part] == ["1.0", "2.0"]
    assert collectors["a"].last == ([1.0, 1.0], [1.0])
    assert collectors["b"].last == ([2.0, 2.0], [2.0])
    assert made.read(1) is None
    assert errors == []


@pytest.mark.parametrize("fails", ["pack", "size", "observe"])
def test_a_collector_that_fails_is_off_and_the_others_go_on(fails: str) -> None:
    collectors = {"a": Collects(1.0), "b": Collects(2.0)}
    made, errors = exchange(collectors, Ranks())
    collectors["a"].fails = fails
    for _ in range(3):
        made.send(torch.zeros(0), AT)
        made.read(0)
    assert len(errors) == 1
    assert errors[0].startswith("a: ")
    assert (collectors["a"].observed, collectors["b"].observed) == (0, 3)


@pytest.mark.parametrize("fails", ["pack", "size", "observe"])
def test_a_collector_that_fails_on_one_rank_is_off_on_all(fails: str) -> None:
    two = Two()
    ours, theirs = {"a": Collects(1.0), "b": Collects(2.0)}, {"a": Collects(1.0), "b": Collects(2.0)}
    first, errors = exchange(ours, two.rank(0))
    second, _ = exchange(theirs, two.rank(1))
    theirs["a"].fails = fails
    for _ in range(3):  # rank 1 first, so that rank 0 hears of it in the same step
        second.send(torch.zeros(0), AT)
        first.send(torch.zeros(0), AT)
        second.read(0)
        first.read(0)
    assert [error for error in errors if error.startswith("a")] == ["a: it failed on another rank"]
    assert ours["a"].observed <= 1  # in the step in which it failed to observe, the other rank could not know
    assert ours["b"].observed == 3
    assert ours["b"].last == ([4.0, 4.0], [2.0])


def test_a_rank_that_stands_by_turns_all_off_everywhere() -> None:
    two = Two()
    ours, theirs = {"a": Collects(1.0)}, {"a": Collects(1.0)}
    first, errors = exchange(ours, two.rank(0))
    second, _ = exchange(theirs, two.rank(1))
    second.turn_off()
    second.send(torch.zeros(0), AT)
    first.send(torch.zeros(0), AT)
    first.read(0)
    assert errors == ["a: it failed on another rank"]
    assert ours["a"].observed == 0


def test_a_rank_that_stands_by_takes_part_in_what_was_sent_before() -> None:
    ours = {"a": Collects(1.0)}
    made, _ = exchange(ours, Ranks())
    made.send(torch.zeros(0), AT)
    made.turn_off()  # the other ranks may wait for words about what was sent
    made.read(0)
    assert ours["a"].observed == 1
    made.send(torch.zeros(0), AT)
    made.read(0)
    assert ours["a"].observed == 1


def test_pack_makes_one_flat_float32() -> None:
    assert pack([], CPU).shape == (0,)
    packed = pack([torch.ones(2, 2), torch.zeros((), dtype=torch.float64), torch.ones(1, dtype=torch.bool)], CPU)
    assert (packed.dtype, packed.tolist()) == (torch.float32, [1, 1, 1, 1, 0, 1])


@pytest.mark.parametrize("world_size", [1, 2, 8])
def test_the_lowest_rank_that_saw_it_wins(world_size: int) -> None:
    everyone = [Ranks(rank=rank, world_size=world_size) for rank in range(world_size)]
    for seers in ([0], [world_size - 1], list(range(world_size)), list(range(1, world_size))):
        code = max([each.code for each in everyone if each.rank in seers], default=0.0)
        found = everyone[0].decode(code)
        assert found == (min(seers) if world_size > 1 and seers else None)
