"""What ranks send: the model by hand, the counting on one process, the figures from calls that are made up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d

from benchmarks.ranks.cost import Modelled, Network, Objects, modelled
from benchmarks.ranks.intercept import NAMES, Call, Interceptor
from benchmarks.ranks.report import fill, measured_rows, modelled_rows, size, word_rows
from benchmarks.ranks.summary import summarise
from benchmarks.ranks.worker import Ran
from lightning_nnguard.probe.ranks import Ranks

NETWORK = Network(latency=1.0, bandwidth=10.0)
OBJECTS = Objects(num_bytes=20, unpickling=0.5)


# -- the model -------------------------------------------------------------------------------------------------------------------


def test_all_reduce_by_hand() -> None:
    assert NETWORK.all_reduce(80, 4, "ring") == 6 * 1.0 + 2 * 3 / 4 * 8.0
    assert NETWORK.all_reduce(80, 4, "tree") == 4 * 1.0 + 2 * 8.0
    assert NETWORK.all_reduce(80, 5, "tree") == 6 * 1.0 + 2 * 8.0  # three rounds each way
    assert NETWORK.all_reduce(80, 2, "ring") == NETWORK.all_reduce(0, 2, "ring") + 8.0


@pytest.mark.parametrize("algorithm", ["ring", "tree"])
def test_a_single_rank_sends_nothing(algorithm: str) -> None:
    assert NETWORK.all_reduce(80, 1, algorithm) == 0.0  # type: ignore[arg-type]
    assert NETWORK.all_gather(80, 1) == NETWORK.gather_objects(OBJECTS, 1) == 0.0


def test_trees_grow_with_the_logarithm_of_the_ranks_and_rings_and_gathers_with_their_number() -> None:
    few, many = 8, 4096
    assert NETWORK.all_reduce(0, many, "tree") == math.log2(many) / math.log2(few) * NETWORK.all_reduce(0, few, "tree")
    assert NETWORK.all_reduce(0, many, "ring") == (many - 1) / (few - 1) * NETWORK.all_reduce(0, few, "ring")
    assert NETWORK.all_gather(80, many) == (many - 1) / (few - 1) * NETWORK.all_gather(80, few)
    assert NETWORK.all_reduce(1e9, many, "ring") < 1.01 * NETWORK.all_reduce(1e9, many, "tree")  # bandwidth counts, not latency


def test_gathering_objects_sends_sizes_and_objects_and_unpickles_those_of_all_ranks() -> None:
    assert NETWORK.gather_objects(OBJECTS, 3) == 2 * (1 + 0.8) + 2 * (1 + 2.0) + 3 * 0.5


@pytest.mark.parametrize("change", [{"latency": -1.0}, {"bandwidth": 0.0}])
def test_a_network_that_cannot_be(change: dict[str, float]) -> None:
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        replace(NETWORK, **change)


def test_a_sampled_step_is_the_sum_of_its_messages() -> None:
    more = Objects(num_bytes=30, unpickling=0.0)
    found = modelled(NETWORK, 4, reduces=(80, 40), words=(OBJECTS,), validation=(OBJECTS, more))
    assert found.ring == NETWORK.all_reduce(80, 4, "ring") + NETWORK.all_reduce(40, 4, "ring")
    assert found.tree == NETWORK.all_reduce(80, 4, "tree") + NETWORK.all_reduce(40, 4, "tree")
    assert found.words == NETWORK.gather_objects(OBJECTS, 4)
    assert found.validation == NETWORK.gather_objects(OBJECTS, 4) + NETWORK.gather_objects(more, 4)
    assert found.validation_bytes == 200
    assert found.share("tree", step_seconds=2.0, every_n_steps=50) == found.tree / 100


# -- counting --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def intercepted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Interceptor]:
    """An interceptor in front of a process group of one; all is as it was afterwards."""
    for name in NAMES:
        for module in (dist, distributed_c10d):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(module, name))
            else:
                monkeypatch.setattr(module, name, None, raising=False)
                monkeypatch.delattr(module, name)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    interceptor = Interceptor()
    interceptor.start()
    yield interceptor
    dist.destroy_process_group()


def test_collectives_are_counted_once_with_the_bytes_of_their_parts(intercepted: Interceptor) -> None:
    intercepted.step = 3
    dist.all_reduce(torch.zeros(6))
    dist.all_reduce(torch.zeros(2, dtype=torch.float64), async_op=True).wait()
    dist.broadcast(torch.zeros(5), src=0)
    dist.barrier()
    dist.all_gather_object([None], "x" * 1000)
    assert [(call.kind, call.step, call.hook) for call in intercepted.calls] == [
        (kind, 3, "") for kind in ("all_reduce", "all_reduce", "broadcast", "barrier", "all_gather_object")
    ]
    sizes = [call.num_bytes for call in intercepted.calls]
    assert sizes[:4] == [24, 16, 20, 0]
    assert 1008 < sizes[4] < 1200
    assert all(call.seconds > 0 for call in intercepted.calls)


def test_calls_of_the_guard_are_told_from_others(intercepted: Interceptor) -> None:
    dist.all_reduce(torch.zeros(6))
    Ranks(rank=0, world_size=2).merge(torch.zeros(3), torch.zeros(4))
    dist.all_reduce(torch.zeros(6))
    assert [call.hook for call in intercepted.calls] == ["", "merge", "merge", ""]
    assert [call.num_bytes for call in intercepted.calls] == [24, 12, 16, 24]


# -- figures ---------------------------------------------------------------------------------------------------------------------


def call(kind: str = "all_reduce", step: int = 0, hook: str = "on_train_batch_end", **changes: object) -> Call:
    """Return a call of the guard."""
    return Call(**{"kind": kind, "step": step, "hook": hook, "owner": "Exchange", "seconds": 1.0, **changes})  # type: ignore[arg-type]


def ran(*calls: Call, sampled: tuple[int, ...] = (0, 4)) -> Ran:
    """Return what a rank did in ten steps."""
    return Ran(
        calls=list(calls), sampled=list(sampled), num_steps=10, num_validations=1, num_layers=3, num_parameters=7, alone=[0.5],
        step_seconds=0.1, error="",
    )  # fmt: skip


OTHERS = [Call(kind="broadcast", step=step) for step in range(10)]
HEALTHY = [
    *(call(step=step, num_bytes=size, start=start) for step in (0, 4) for size, start in ((40, 0.0), (8, 0.25))),
    call("all_gather_object", owner="Modes", place="modes.py:1", num_bytes=100, unpickling=0.25),
    call("all_gather_object", 9, "on_validation_end", owner="Audit", num_bytes=20),
    call("all_gather_object", -1, "on_train_start"),
]


def test_figures_of_a_fit() -> None:
    larger = [*HEALTHY[:4], replace(HEALTHY[4], num_bytes=300), *HEALTHY[5:]]
    found = summarise([ran(*OTHERS, sampled=())] * 2, [ran(*OTHERS, *HEALTHY), ran(*OTHERS, *larger)])
    assert found.in_sampled == {"all_reduce": (2, 2), "all_gather_object": (0, 1)}
    assert found.num_in_unsampled == 0
    assert found.reduces == (40, 8)
    assert found.reduce_seconds.median == 1.25
    (words,) = found.words
    assert (words.owner, words.place, words.steps) == ("Modes", "modes.py:1", (0,))
    assert found.words_at_once == (words.sent,) == (Objects(num_bytes=300, unpickling=0.25),)
    assert (found.gathers, found.gathered) == (1, (Objects(num_bytes=20, unpickling=0.0),))
    assert found.elsewhere == {"on_train_start": {"all_gather_object": 1}}
    assert found.own == found.difference == {"all_reduce": 4, "all_gather_object": 3}


def test_figures_show_what_should_not_be() -> None:
    wrong = [*HEALTHY, call("barrier", 4), call(step=5), Call(kind="all_reduce", step=7)]
    found = summarise([ran(*OTHERS, sampled=())], [ran(*OTHERS, *wrong)])
    assert found.in_sampled["barrier"] == (0, 1)
    assert found.num_in_unsampled == 1
    assert found.difference["all_reduce"] == found.own["all_reduce"] + 1  # somebody else calls more because the guard is there
    rows = {row[0]: row[1] for row in measured_rows([found])}
    assert rows["sampled step: barriers, broadcasts and others"] == "1"
    assert rows["unsampled step: collectives"] == "1"


def test_ranks_that_are_out_of_step_are_no_figures() -> None:
    with pytest.raises(ValueError, match="different collectives"):
        summarise([ran()] * 2, [ran(*HEALTHY), ran(*HEALTHY[1:])])


# -- tables ----------------------------------------------------------------------------------------------------------------------


def test_tables_have_as_many_cells_in_each_row() -> None:
    figures = summarise([ran(*OTHERS)], [ran(*OTHERS, *HEALTHY)])
    many = [Modelled(num_ranks=8, ring=0.002, tree=0.001, words=0.1, validation=0.2, validation_bytes=2048)]
    rows = modelled_rows(many, step_seconds=0.2, every_n_steps=50, num_digests=1024)
    assert rows[1] == ["8 ranks", "2.00 ms", "0.0200 %", "1.00 ms", "0.0100 %", "100 ms", "200 ms", "2.0 KiB", "10.0 KiB"]
    for table in (rows, measured_rows([figures, figures]), word_rows(figures)):
        assert len({len(row) for row in table}) == 1


@pytest.mark.parametrize(("num_bytes", "text"), [(1023, "1023 B"), (1024, "1.0 KiB"), (3 * 2**20, "3.0 MiB"), (2**31, "2.0 GiB")])
def test_sizes(num_bytes: int, text: str) -> None:
    assert size(num_bytes) == text


BEGIN, END = "<!-- ranks: written by the command above -->", "<!-- end of ranks -->"


def test_figures_go_between_the_markers_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold \\1\n{END}\nafter\n")
    fill(page, "new \\1 | figures")
    fill(page, "new \\1 | figures")
    assert page.read_text() == f"before\n{BEGIN}\n\nnew \\1 | figures\n\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{BEGIN}\n{BEGIN}\n{END}"])
def test_a_page_without_both_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="needed"):
        fill(page, "figures")
    assert page.read_text() == text
