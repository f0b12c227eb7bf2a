"""What is watched between the steps of optimizers, on two ranks: both say the same, and rare things are said in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lightning_nnguard import NNGuard
from tests.callbacks.ranked import Rank, two_ranks
from tests.callbacks.test_steps import CODES, Freezes, Keeps, Manual, Task, Wired, as_numbers
from tests.programs import loader


def fit(build: Callable[[], Any], folder: Path, **options: Any) -> tuple[Rank, Rank]:
    guard = NNGuard(select=CODES, every_n_steps=5)
    ranks = two_ranks(build, guard, folder, train=options.pop("train", None) or loader(128), **options)
    assert ranks[0].error == ranks[1].error == ""
    assert ranks[0].findings == ranks[1].findings
    assert "note:" not in ranks[0].told
    assert all(count == 2 for rank in ranks for count in rank.reduces.values())
    return ranks


def in_words(ranks: tuple[Rank, Rank]) -> set[int]:
    """Return the steps on which ranks have talked in words; on the first they share the names of layers."""
    assert ranks[0].gathers == ranks[1].gathers
    return {int(step) for step in ranks[0].gathers} - {0}


def test_a_layer_without_gradients(tmp_path: Path) -> None:
    ranks = fit(lambda: Task(Wired()), tmp_path, max_epochs=5, strategy="ddp_find_unused_parameters_true")
    (finding,) = ranks[0].findings
    assert (finding["code"], finding["rank"], finding["places"]) == ("NNG202", None, ["net.spare.weight", "net.spare.bias"])
    assert in_words(ranks) == set()


@pytest.mark.parametrize(
    ("calls", "code"), [("backward step", "NNG221"), ("backward clear step", "NNG222"), ("clear backward", "NNG227")]
)
def test_order_of_calls(tmp_path: Path, calls: str, code: str) -> None:
    ranks = fit(lambda: Manual(calls), tmp_path, max_epochs=5)
    assert [(each["code"], each["rank"]) for each in ranks[0].findings] == [(code, None)]
    assert in_words(ranks) == set()


def on_rank_one(module: Any, loss: Tensor) -> None:
    module.kept.append(loss if module.global_rank == 1 else loss.detach())


def test_graphs_that_one_rank_keeps(tmp_path: Path) -> None:
    ranks = fit(lambda: Keeps(on_rank_one), tmp_path, max_epochs=28)
    (finding,) = ranks[0].findings
    assert (finding["code"], finding["where"], finding["rank"]) == ("NNG226", "kept", 1)
    assert in_words(ranks)
    assert min(in_words(ranks)) >= 100


def test_frozen_parameters_that_momentum_moves(tmp_path: Path) -> None:
    ranks = fit(lambda: Freezes(set_to_none=False), tmp_path, max_epochs=6, strategy="ddp_find_unused_parameters_true")
    (finding,) = ranks[0].findings
    assert (finding["code"], finding["where"], finding["rank"]) == ("NNG511", "net.0.weight", None)


def test_nothing_is_gathered_in_a_healthy_run(tmp_path: Path) -> None:
    ranks = fit(lambda: Keeps(as_numbers), tmp_path, max_epochs=3)
    assert ranks[0].findings == []
    assert in_words(ranks) == set()
