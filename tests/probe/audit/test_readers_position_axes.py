"""What the reader sees of positions that are added to activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import PositionAxisSeen
from lightning_nnguard.probe.audit.readers.position_axes import position_axes
from lightning_nnguard.rules.wiring.positions_along_batch import PositionsAlongBatch
from tests.probe.audit.recording import Net, record

RULE = PositionsAlongBatch()
B, T, D = 6, 10, 8
X, Y = torch.randn(B, T, D), torch.zeros(B, dtype=torch.long)
TABLE = torch.ones(50, 1, D)


def seen(added: Callable[..., Tensor], x: Tensor = X, y: Tensor = Y, *, batch_first: bool = True) -> list[PositionAxisSeen]:
    """Return what is seen of a model that embeds, adds, mixes and averages over time."""
    torch.manual_seed(0)
    model = Net(
        lambda self, x: x, embed=nn.Linear(D, D), mix=nn.TransformerEncoderLayer(D, 2, 16, dropout=0.0, batch_first=batch_first),
        head=nn.Linear(D, 3), learnt=nn.Parameter(torch.randn(50, 1, D)), place=nn.Embedding(50, D),
        latents=nn.Parameter(torch.randn(B, 1, D)),
        token=nn.Parameter(torch.randn(1, 1, D)), drop=nn.Dropout(0.1),
    )  # fmt: skip
    model.register_buffer("pe", torch.randn(50, 1, D))
    model.register_buffer("wide", torch.randn(1, 50, D))

    def step(x: Tensor, y: Tensor) -> Tensor:
        h = model.mix(added(model, model.embed(x)))  # type: ignore[operator]
        return F.cross_entropy(model.head(h.mean(1 if batch_first else 0)), y)  # type: ignore[operator]

    return list(position_axes(record(model, step, x, y)))


def in_place(self: Any, x: Tensor) -> Tensor:
    x += self.pe[: x.size(0)]
    return x


@pytest.mark.parametrize(
    ("added", "table"),
    [
        (lambda self, x: x + self.pe[: x.size(0)], "pe"),
        (lambda self, x: self.pe[: x.size(0), :] + x, "pe"),
        (lambda self, x: torch.add(x, self.pe.narrow(0, 0, len(x))), "pe"),
        (lambda self, x: x + self.drop(self.learnt[: x.size(0)]), "learnt"),
        (lambda self, x: x + self.wide[0, : x.size(0)].unsqueeze(1), "wide"),
        (lambda self, x: x + self.pe[torch.arange(x.size(0))], "pe"),
        (lambda self, x: x + self.place(torch.arange(x.size(0)))[:, None], "place.weight"),
        (lambda self, x: x + TABLE[: x.size(0)], ""),
        (in_place, "pe"),
    ],
)
def test_positions_along_the_samples(added: Callable[..., Tensor], table: str) -> None:
    (one,) = seen(added)
    assert (one.table, one.shape, one.is_batch, one.target_shapes) == (table, (B, T, D), True, ((B,),))
    assert one.mixed_lengths == (T,)
    assert one.table_shape[0] == 50 or table == "wide"
    assert RULE.check(one) is not None


def test_samples_as_many_as_features() -> None:
    (one,) = seen(lambda self, x: x + self.pe[: x.size(0)], torch.randn(D, T, D), torch.zeros(D, dtype=torch.long))
    assert RULE.check(one) is not None


@pytest.mark.parametrize(
    "added",
    [
        lambda self, x: x + self.pe[: x.size(1)].transpose(0, 1),
        lambda self, x: x + self.wide[:, : x.size(1)],
        lambda self, x: x + self.place(torch.arange(x.size(1))),
        lambda self, x: x + self.latents,
        lambda self, x: x + self.latents[: len(x)],
        lambda self, x: x + self.token.expand(len(x), 1, D),
        lambda self, x: x + self.pe[torch.randint(50, (len(x),))],
        lambda self, x: x + self.place(torch.randint(50, (len(x),)))[:, None],
        lambda self, x: x + torch.randn(len(x), 1, D),
        lambda self, x: x + self.embed(self.pe[: len(x)]),
        lambda self, x: x + x.mean(1, keepdim=True),
        lambda self, x: x * self.pe[: len(x)],
    ],
    ids=[
        "along time", "wide table", "places", "latents of all samples", "latents of a batch",
        "class token", "drawn steps", "drawn places", "noise",
        "computed", "mean", "product",
    ],
)  # fmt: skip
def test_other_sums(added: Callable[..., Tensor]) -> None:
    assert seen(added) == []


def test_rows_that_are_looked_up_by_the_batch() -> None:
    model = Net(lambda self, x, i: self.mix(x + self.pe[i]).sum(), pe=nn.Parameter(torch.randn(50, 1, D)), mix=nn.Linear(D, D))
    assert position_axes(record(model, model, X, torch.arange(B))) == []


def test_time_first() -> None:
    """Time is dimension 0 after the transposition, or of the batch itself."""
    (one,) = seen(lambda self, x: (y := x.transpose(0, 1)) + self.pe[: y.size(0)], batch_first=False)
    assert (one.is_batch, RULE.check(one)) == (False, None)
    targets = torch.zeros(T, dtype=torch.long)
    (one,) = seen(lambda self, x: x + self.pe[: x.size(0)], y=targets, batch_first=False)
    assert (one.mixed_lengths, one.target_shapes, RULE.check(one)) == ((B,), ((T,),), None)


def test_evaluation_is_not_looked_at() -> None:
    model = Net(lambda self, x: x + self.pe[: len(x)], pe=nn.Parameter(torch.randn(50, 1, D)))
    assert position_axes(record(model, model, X, stage="validate")) == []


@pytest.mark.parametrize("kind", ["gru", "gru, time first", "product", "softmax", "none"])
def test_what_runs_over_time(kind: str) -> None:
    def mixed(self: Any, x: Tensor) -> Tensor:
        x = x + self.pe[: len(x)]
        if kind == "product":
            return F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None])
        if kind == "softmax":
            return (x @ x.transpose(1, 2)).softmax(-1) @ x
        return x if kind == "none" else self.rnn(x)[0]

    rnn = nn.GRU(D, D, batch_first=kind == "gru")
    model = Net(mixed, pe=nn.Parameter(torch.randn(50, 1, D)), rnn=rnn)
    (one,) = position_axes(record(model, lambda x: model(x).sum(), X))
    assert one.mixed_lengths == {"gru, time first": (B,), "none": ()}.get(kind, (T,))
