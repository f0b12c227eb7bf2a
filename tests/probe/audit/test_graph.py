"""The graph of recorded calls, on networks as they are built."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.probe.audit.call import Call
from lightning_nnguard.probe.audit.graph import NOISE, PASSING, ancestors, chain, first, origin, unmoved
from lightning_nnguard.probe.audit.layers import layer_of
from lightning_nnguard.probe.audit.record import Record
from tests.probe.audit.recording import Net, record

X = torch.randn(4, 6)
SEQUENCE = torch.randn(4, 5, 16)
IMAGES = torch.randn(4, 1, 8, 8)


def whole(model: nn.Module, x: Tensor, stage: str = "train") -> Record:
    return record(model.train(stage == "train"), model, x, stage=stage)


def call(of: Record, function: str, number: int = 0) -> Call:
    return [each for each in of.calls if each.function == function][number]


def functions(of: Record) -> list[str]:
    return [each.function for each in of.calls]


# -- what made a value


def test_origin_looks_through_reshaping_and_dropout_but_not_through_arithmetic():
    model = Net(lambda self, x: F.dropout(self.a(x).view(2, 12).T.contiguous(), 0.5).sum() + 1, a=nn.Linear(6, 6))
    made = whole(model, X)
    (dropped,), linear = call(made, "sum").inputs, call(made, "linear")
    assert origin(dropped) is call(made, "dropout")
    assert origin(dropped, PASSING | NOISE) is linear
    assert origin(call(made, "add").inputs[0]).function == "sum"
    assert [each.call.function for each in chain(dropped, PASSING | NOISE)] == ["dropout", "contiguous", "T", "view", "linear"]


def test_what_nothing_made_has_no_origin():
    made = whole(Net(lambda self, x: (x.flatten() * self.w).sum(), w=nn.Parameter(torch.ones(24))), X)
    left, right = call(made, "mul").inputs
    assert origin(left) is origin(right) is None
    assert first(left) is made.batch[0]
    assert (first(left).label, right.label, right.is_parameter) == ("batch[0]", "w", True)


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        (lambda x: x.view(4, 6).contiguous().double(), True),
        (lambda x: x.view(2, 12).view(4, 6), False),
        (lambda x: x.unsqueeze(1).squeeze(1), False),
        (lambda x: x.flip(0), False),
        (lambda x: x[[1, 0, 2, 3]], False),
        (lambda x: x.T.reshape(4, 6), False),
    ],
    ids=["same shape", "reshaped", "and back", "flipped", "indexed", "turned"],
)
def test_unmoved_values_are_at_the_same_places(change, stays):
    made = whole(Net(lambda self, x: change(self.a(x)).sum(), a=nn.Linear(6, 6)), X)
    value = call(made, "sum").inputs[0]
    assert (unmoved(value).call is call(made, "linear")) is stays
    assert origin(value) is call(made, "linear")


def test_ancestors_follow_gradients_only_when_asked_to():
    model = Net(lambda self, x: (self.a(x) * self.b(x).detach()).sum(), a=nn.Linear(6, 6), b=nn.Linear(6, 6))
    made = whole(model, X)
    assert {each.where for each in ancestors(made.losses[0]) if each.function == "linear"} == {"a", "b"}
    assert {each.where for each in ancestors(made.losses[0], with_grad=True) if each.function == "linear"} == {"a"}
    trained = {made.calls[number].where for number in made.trained if made.calls[number].function == "linear"}
    assert trained == {"a"}


def test_takers_of_a_call():
    made = whole(Net(lambda self, x: (self.a(x) * self.a(x + 1).relu()).sum() + 0, a=nn.Linear(6, 6)), X)
    one, other = call(made, "linear"), call(made, "linear", 1)
    assert [each.function for each in made.taken_by[one.number]] == ["mul"]
    assert [each.function for each in made.taken_by[other.number]] == ["relu"]
    assert made.taken_by[made.calls[-1].number] == []


# -- networks


def test_a_sequential_network_is_a_chain():
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.1), nn.Flatten(), nn.Linear(144, 3)]
    made = whole(Net(lambda self, x: self.net(x).sum(), net=nn.Sequential(*layers)), IMAGES)
    assert origin(call(made, "linear").inputs[0], PASSING | NOISE) is call(made, "relu")
    assert origin(call(made, "relu").inputs[0]) is call(made, "batch_norm")
    assert origin(call(made, "batch_norm").inputs[0]) is call(made, "conv2d")
    assert [call(made, name).where for name in ("conv2d", "batch_norm", "relu", "linear")] == ["net.0", "net.1", "net.2", "net.5"]


def test_a_residual_sum_is_an_origin_of_its_own():
    made = whole(Net(lambda self, x: self.b(x + self.a(x)).sum(), a=nn.Linear(6, 6), b=nn.Linear(6, 2)), X)
    assert origin(call(made, "linear", 1).inputs[0]) is call(made, "add")
    assert {each.function for each in ancestors(call(made, "add").inputs[1])} == {"linear"}


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_layer(norm_first):
    made = whole(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=norm_first), SEQUENCE)
    second, attention = call(made, "linear", 1), call(made, "multi_head_attention_forward")
    assert origin(second.inputs[0], PASSING | NOISE) is call(made, "relu")
    assert origin(call(made, "add").inputs[1], PASSING | NOISE) is attention
    assert first(attention.inputs[0]).label == ("" if norm_first else "batch[0]")
    assert {value.label for value in attention.inputs[3:]} >= {"self_attn.in_proj_weight", "self_attn.out_proj.weight"}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_fused_layers_in_evaluation_are_one_call_each():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[:, 3:] = True
    model = nn.TransformerEncoder(layer, 2).eval()
    made = record(model, lambda x: model(x, src_key_padding_mask=mask), SEQUENCE, stage="validate")
    assert functions(made).count("transformer_encoder_layer_fwd") == 2
    assert all(each.shape == () for each in call(made, "transformer_encoder_layer_fwd").inputs[:1])  # a nested tensor


def test_recurrent_layers_are_one_call():
    made = whole(Net(lambda self, x: self.head(self.rnn(x)[0]).sum(), rnn=nn.LSTM(16, 8, 2), head=nn.Linear(8, 2)), SEQUENCE)
    assert origin(call(made, "linear").inputs[0]) is call(made, "lstm")
    assert first(call(made, "lstm").inputs[0]).label == "batch[0]"


# -- parameters


def test_lazy_parameters_keep_their_names():
    model = Net(lambda self, x: self.net(x).sum(), net=nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.LazyLinear(2)))
    made = whole(model, X)
    linear = call(made, "linear", 1)
    assert [(each.label, each.shape) for each in linear.inputs[1:]] == [("net.2.weight", (2, 4)), ("net.2.bias", (2,))]
    assert call(made, "batch_norm").inputs[1].label == "net.1.running_mean"
    assert made.strangers == ()


def test_parameters_keep_their_names_when_they_are_changed_in_place():
    def clamped(self: Net, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.a.weight.clamp_(-0.1, 0.1)
        self.a.weight.data = self.a.weight.data.clamp(-0.05, 0.05)
        return self.a(x).sum()

    made = whole(Net(clamped, a=nn.Linear(6, 6)), X)
    assert call(made, "linear").inputs[1].label == "a.weight"
    assert made.strangers == ()


def test_writing_into_a_tensor_makes_another_value():
    def written(self: Net, x: Tensor) -> Tensor:
        h = F.softmax(x, dim=1)
        h[0] = self.a(x[0])
        return h.sum()

    made = whole(Net(written, a=nn.Linear(6, 6)), X)
    (source,) = call(made, "sum").inputs
    assert origin(source) is call(made, "setitem")
    assert call(made, "linear").number in made.trained


# -- layers


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Linear(6, 4), (2, 5, 6), (6, 4, (), 1, 2)),
        (nn.Linear(6, 4, bias=False), (6,), (6, 4, (), 1, 0)),
        (nn.Conv1d(4, 8, 3, groups=2), (2, 4, 9), (4, 8, (3,), 2, 1)),
        (nn.Conv2d(4, 8, (1, 3)), (4, 9, 9), (4, 8, (1, 3), 1, 0)),
        (nn.ConvTranspose2d(4, 8, 3, groups=4), (2, 4, 9, 9), (4, 8, (3, 3), 4, 1)),
    ],
    ids=["linear", "vector", "grouped", "unbatched", "transposed"],
)
def test_layers(layer, shape, expected):
    made = whole(Net(lambda self, x: self.layer(x).sum(), layer=layer), torch.randn(shape))
    (found,) = filter(None, map(layer_of, made.calls))
    assert (found.width_in, found.width_out, found.kernel, found.groups, found.channel_dim) == expected
    assert (found.weight.label, found.bias.label if found.bias else None) == (
        "layer.weight", "layer.bias" if layer.bias is not None else None,
    )  # fmt: skip
    assert found.is_transposed is isinstance(layer, nn.ConvTranspose2d)


def test_other_calls_are_no_layers():
    made = whole(Net(lambda self, x: (x @ self.w).sum(), w=nn.Parameter(torch.ones(6, 2))), X)
    assert [layer_of(each) for each in made.calls] == [None, None]
    assert layer_of(None) is None
