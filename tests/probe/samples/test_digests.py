from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_nnguard.probe.samples import digests as module
from lightning_nnguard.probe.samples.digests import digest_batch

CPU = torch.device("cpu")


def samples(batch: Any) -> list[int]:
    found = digest_batch(batch, CPU)
    assert found is not None
    return found.digests[1:].tolist()


def whole(batch: Any) -> int:
    found = digest_batch(batch, CPU)
    assert found is not None
    return int(found.digests[0])


Named = namedtuple("Named", "x y")
X, Y = torch.arange(12.0).reshape(4, 3), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize("batch", [(X, Y), [X, Y], {"x": X, "y": Y}, Named(X, Y), {"a": {"x": X}, "y": [Y]}])
def test_one_digest_for_each_sample(batch: Any) -> None:
    found = digest_batch(batch, CPU)
    assert found is not None
    assert found.are_samples
    assert not found.is_drawn
    assert len(set(samples(batch))) == 4


def test_a_sample_has_the_same_digest_in_any_batch() -> None:
    order = torch.tensor([2, 0])
    assert samples((X[order], Y[order])) == [samples((X, Y))[2], samples((X, Y))[0]]
    assert whole((X[order], Y[order])) != whole((X[order.flip(0)], Y[order.flip(0)]))


def test_every_part_counts() -> None:
    assert samples((X, Y)) != samples((X, 1 - Y))
    assert samples((X, Y)) != samples((X + 1, Y))
    users, items = torch.tensor([3, 3, 4, 4]), torch.tensor([7, 8, 7, 8])
    assert len(set(samples({"user": users, "item": items}))) == 4
    assert samples((users, items)) != samples((items, users))


def test_graphs_have_no_samples_but_a_batch() -> None:
    batch = {"x": torch.randn(9, 4), "edges": torch.zeros(2, 20, dtype=torch.long), "y": torch.zeros(3)}
    found = digest_batch(batch, CPU)
    assert found is not None
    assert not found.are_samples
    assert len(found.digests) == 1 + 9
    assert whole(batch) != whole({**batch, "y": torch.ones(3)})


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ({"path": ["a", "b", "c", "d"], "y": Y}, False),
        ({"path": ["a", "b", "c", "d"], "x": torch.randn(4, 16)}, True),
        ({"size": 4, "y": Y}, True),
        ((Y, object()), False),
    ],
    ids=["text that no number stands for", "a path beside an image", "a number", "an object"],
)
def test_what_is_no_tensor(batch: Any, expected: bool) -> None:
    found = digest_batch(batch, CPU)
    assert found is not None
    assert found.are_samples is expected


@pytest.mark.parametrize(
    "batch",
    [None, "text", ["a", "b"], torch.tensor(3.0), torch.zeros(0, 3), torch.empty(3, device="meta"), torch.eye(3).to_sparse()],
)
def test_nothing_to_digest(batch: Any) -> None:
    assert digest_batch(batch, CPU) is None


class Labelled(Tensor):
    pass


def test_subclasses_and_views() -> None:
    assert samples((X.as_subclass(Labelled), Y)) == samples((X, Y))
    assert samples((X.t().contiguous().t(), Y)) == samples((X, Y))


def test_tokens_are_integers() -> None:
    found = digest_batch({"ids": torch.randint(9, (4, 7)), "mask": torch.ones(4, 7, dtype=torch.bool)}, CPU)
    assert found is not None
    assert found.is_drawn


def test_large_batches_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SAMPLES", 3)
    assert samples((X, Y)) == samples((X[:3], Y[:3]))


def test_nothing_is_changed() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    state, before = torch.get_rng_state(), x.detach().clone()
    with torch.inference_mode():
        digest_batch((x, Y), CPU)
    digest_batch((x, Y), CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, before)
    assert x.grad_fn is None
