"""What the readers see of layers over time, and of classes on their way into a loss."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import ReshapedClassesSeen, TimeAxisSeen
from lightning_nnguard.probe.audit.readers.axes import reshaped_classes, time_axes
from lightning_nnguard.rules.wiring.batch_as_time import BatchAsTime
from lightning_nnguard.rules.wiring.classes_by_view import ClassesByView
from tests.probe.audit.recording import Net, record

X, Y = torch.randn(8, 5, 6), torch.randint(0, 3, (8,))
TOKENS, TAGS = torch.randint(0, 9, (8, 5)), torch.randint(0, 3, (8, 5))
Forward = Callable[..., Tensor]


def time_calls(forward: Forward, *batch: Tensor, stage: str = "train", **parts: nn.Module) -> list[TimeAxisSeen]:
    model = Net(forward, **parts)
    return list(time_axes(record(model, model, *batch, stage=stage)))


def class_calls(forward: Forward, *batch: Tensor, **parts: nn.Module) -> list[ReshapedClassesSeen]:
    model = Net(forward, **parts)
    return list(reshaped_classes(record(model, model, *batch)))


def judged_time(seen: list[TimeAxisSeen]) -> list[str]:
    return [each.where for each in seen if BatchAsTime().check(each)]


def last(x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(x[:, -1, :3], y)


# -- time


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_without_batch_first(kind):
    (seen,) = time_calls(lambda self, x, y: last(self.a(x)[0], y), X, Y, a=kind(6, 4))
    assert (seen.where, seen.shape, seen.is_batch, seen.target_shapes) == ("a", (8, 5, 6), True, ((8,),))
    assert "self.a(x)" in seen.source
    assert judged_time([seen]) == ["a"]


@pytest.mark.parametrize("layer", [nn.LSTM(6, 4, batch_first=True), nn.GRU(6, 4, batch_first=True, num_layers=2)])
def test_batch_first_takes_no_time_from_dimension_0(layer):
    assert time_calls(lambda self, x, y: last(self.a(x)[0], y), X, Y, a=layer) == []


@pytest.mark.parametrize(
    "before",
    [
        lambda self, x: self.b(x),
        lambda self, x: self.b(x).relu() + torch.ones(5, 6),
        lambda self, x: F.layer_norm(F.dropout(x, 0.1), (6,)),
        lambda self, x: x[:, 1:],
        lambda self, x: x[..., :6],
        lambda self, x: x.reshape(8, 3, 10)[:, :, :6],
    ],
)
def test_what_keeps_the_samples_in_dimension_0(before):
    parts = {"a": nn.LSTM(6, 4), "b": nn.Linear(6, 6)}
    assert judged_time(time_calls(lambda self, x, y: last(self.a(before(self, x))[0], y), X, Y, **parts)) == ["a"]


def test_embedded_tokens():
    parts = {"a": nn.GRU(6, 4), "b": nn.Embedding(9, 6)}
    assert judged_time(time_calls(lambda self, x, y: last(self.a(self.b(x))[0], y), TOKENS, Y, **parts)) == ["a"]


@pytest.mark.parametrize(
    "before",
    [
        lambda x: x.transpose(0, 1),
        lambda x: x.permute(1, 0, 2),
        lambda x: x.flip(0),
        lambda x: x[torch.arange(8)],
        lambda x: torch.stack(list(x.unbind(1))),
        lambda x: torch.ones_like(x),
    ],
)
def test_moved_samples_are_not_taken_for_it(before):
    parts = {"a": nn.LSTM(6, 4), "b": nn.Linear(4, 3)}
    (seen,) = time_calls(
        lambda self, x, y: F.cross_entropy(self.b(self.a(before(x))[0].mean([0, 1])).expand(8, 3), y), X, Y, **parts
    )
    assert not seen.is_batch


def test_healthy_recurrences_over_dimension_0():
    def tag(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # (time, batch) of tokens and of tags
        return F.cross_entropy(self.a(self.b(x))[0].flatten(0, 1)[:, :3], y.flatten())

    def one_series(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # each sample is a moment of one long series
        return F.cross_entropy(self.a(x[:, 0].unsqueeze(1))[0][:, 0, :3], y)

    def packed(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        parts = nn.utils.rnn.pack_padded_sequence(x, [5, 5, 5, 4, 4, 3, 2, 1], batch_first=True)
        return F.cross_entropy(self.a(parts)[1][0][0, :, :3], y)

    def per_series(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # (time, batch, features), one target a series
        return F.cross_entropy(self.a(x)[1][0][0, :, :3], y)

    assert judged_time(time_calls(tag, TOKENS, TAGS, a=nn.LSTM(6, 4), b=nn.Embedding(9, 6))) == []
    assert judged_time(time_calls(one_series, X, Y, a=nn.LSTM(6, 4))) == []
    assert time_calls(packed, X, Y, a=nn.LSTM(6, 4)) == []
    assert judged_time(time_calls(per_series, X, Y[:5], a=nn.LSTM(6, 4))) == []


def test_attention():
    parts = {"a": nn.TransformerEncoderLayer(6, 2, 8)}
    (seen,) = time_calls(lambda self, x, y: last(self.a(x), y), X, Y, **parts)
    assert judged_time([seen]) == ["a.self_attn"]
    parts = {"a": nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)}
    assert judged_time(time_calls(lambda self, x, y: last(self.a(x), y), X, Y, **parts)) == []


def test_what_the_loss_learns_nothing_through_is_not_looked_at():
    def apart(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return last(self.b(x) + self.a(x)[0].detach(), y)

    assert time_calls(apart, X, Y, a=nn.LSTM(6, 4), b=nn.Linear(6, 4)) == []


def test_evaluation_is_not_looked_at():
    assert time_calls(lambda self, x, y: last(self.a(x)[0], y), X, Y, stage="validate", a=nn.LSTM(6, 4)) == []


# -- classes


@pytest.mark.parametrize(
    "reshape",
    [
        lambda x: x.view(8, 3, 5),
        lambda x: x.reshape(8, 3, 5),
        lambda x: x.reshape(-1, 3).view(8, 3, -1),
        lambda x: F.dropout(x, 0.1).contiguous().view(8, 3, 5),
        lambda x: x.flatten(1).unflatten(1, (3, 5)),
    ],
)
def test_classes_reshaped_into_place(reshape):
    (seen,) = class_calls(lambda self, x, y: F.cross_entropy(reshape(self.a(x)), y), X, TAGS, a=nn.Linear(6, 3))
    assert (seen.layer, seen.layer_path, seen.shape_before, seen.channel_dim) == ("linear", "a", (8, 5, 3), 2)
    assert (seen.function, seen.shape) == ("cross_entropy", (8, 3, 5))
    assert "test_readers_axes.py" in seen.reshaped_by
    assert "(8, 3" in seen.reshaped_by or "(3, 5)" in seen.reshaped_by
    assert ClassesByView().check(seen)


def test_log_probabilities_and_flattened_images():
    def likelihood(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.nll_loss(self.a(x).log_softmax(-1).view(8, 3, 5), y)

    def image(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.a(x[:, None]).view(-1, 3), y[:, :, None].expand(8, 5, 6).flatten())

    (seen,) = class_calls(likelihood, X, TAGS, a=nn.Linear(6, 3))
    assert (seen.function, bool(ClassesByView().check(seen))) == ("nll_loss", True)
    (seen,) = class_calls(image, X, TAGS, a=nn.Conv2d(1, 3, 1))
    assert (seen.shape_before, seen.channel_dim, bool(ClassesByView().check(seen))) == ((8, 3, 5, 6), 1, True)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, y: F.cross_entropy(x.transpose(1, 2), y),
        lambda x, y: F.cross_entropy(x.permute(0, 2, 1), y),
        lambda x, y: F.cross_entropy(x.mT, y),
        lambda x, y: F.cross_entropy(x.view(-1, 3), y.view(-1)),
        lambda x, y: F.cross_entropy(x.transpose(1, 2).reshape(8, 3, 5, 1), y[..., None]),
        lambda x, y: F.cross_entropy(x.transpose(1, 2).contiguous().view(8, 3, 5), y),
        lambda x, y: F.cross_entropy(x[:, :1].reshape(8, 3, 1), y[:, :1]),
        lambda x, y: F.cross_entropy(x[:, 0].view(8, 3), y[:, 0]),
    ],
)
def test_healthy_ways_of_classes(loss):
    seen = class_calls(lambda self, x, y: loss(self.a(x), y), X, TAGS, a=nn.Linear(6, 3))
    assert not any(map(ClassesByView().check, seen))


def test_one_layer_for_all_positions():
    (seen,) = class_calls(lambda self, x, y: F.cross_entropy(self.a(x[:, 0]).view(8, 3, 5), y), X, TAGS, a=nn.Linear(6, 15))
    assert ClassesByView().check(seen) is None
