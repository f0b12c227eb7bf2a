"""What the readers see between layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import ConvolutionInputSeen, NormCallSeen, StackedLayersSeen
from lightning_nnguard.probe.audit.readers.layers import convolution_inputs, norm_calls, stacked_layers
from tests.probe.audit.recording import Net, record

X = torch.randn(8, 6)
IMAGES = torch.randn(8, 3, 9, 9)


def total(net: nn.Module) -> Net:
    return Net(lambda self, x: self.net(x).sum(), net=net)


def pairs(net: nn.Module, x: Tensor = X, **changes: object) -> list[StackedLayersSeen]:
    model = net if isinstance(net, Net) else total(net)
    return list(stacked_layers(record(model, model, x, **changes)))


# -- layers in a row


def test_two_layers_with_nothing_but_reshaping_and_dropout_between():
    (pair,) = pairs(nn.Sequential(nn.Linear(6, 12), nn.Dropout(0.1), nn.Unflatten(1, (1, 12)), nn.Linear(12, 4)))
    assert (pair.where, pair.before, pair.function, pair.function_before) == ("net.3", "net.0", "linear", "linear")
    assert (pair.num_in, pair.num_between, pair.num_out, pair.groups, pair.kernel) == (6, 12, 4, 1, ())
    assert "self.net(x)" in pair.source


def test_a_second_layer_that_makes_gates():
    (pair,) = pairs(nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.GLU()))
    assert pair.is_gated
    (pair,) = pairs(nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.ReLU()))
    assert not pair.is_gated


@pytest.mark.parametrize(
    ("layers", "numbers"),
    [
        ([nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 3)], (3, 8, 5)),
        ([nn.Conv2d(3, 8, 1), nn.Conv2d(8, 5, 3)], (3, 8, 45)),
        ([nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 1)], (27, 8, 5)),
        ([nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(392, 5)], (3, 8, 5)),
        ([nn.Conv2d(3, 8, 1), nn.Flatten(), nn.Linear(648, 5)], (3, 8, 405)),
    ],
    ids=["both wide", "narrow first", "narrow second", "flattened", "squeezed and flattened"],
)
def test_kernels_count_when_the_other_has_none(layers, numbers):
    (pair,) = pairs(nn.Sequential(*layers), IMAGES)
    assert (pair.num_in, pair.num_between, pair.num_out) == numbers


def twice(self: Net, x: Tensor) -> Tensor:
    h = self.a(x)
    return (self.b(h) + h).sum()


def adapted(self: Net, x: Tensor) -> Tensor:
    return (self.base(x) + self.b(self.a(F.dropout(x, 0.1)))).sum()


def applied_twice(self: Net, x: Tensor) -> Tensor:
    return self.a(self.a(x)).sum()


def without_gradient(self: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        h = self.b(self.a(x))
    return (self.head(x) * h).sum()


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)),
        nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 6)),
        nn.Sequential(nn.Linear(6, 6).requires_grad_(False), nn.Linear(6, 6)),
        nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6).requires_grad_(False)),
        nn.Sequential(nn.Linear(6, 64), nn.Unflatten(1, (4, 4, 4)), nn.Conv2d(4, 2, 3)),
        nn.Sequential(nn.Unflatten(1, (6, 1)), nn.ConvTranspose1d(6, 6, 4), nn.Conv1d(6, 6, 3)),
        nn.Sequential(nn.Unflatten(1, (6, 1, 1)), nn.Conv2d(6, 24, 1), nn.PixelShuffle(2), nn.Conv2d(6, 6, 1)),
        Net(twice, a=nn.Linear(6, 6), b=nn.Linear(6, 6)),
        Net(adapted, base=nn.Linear(6, 6).requires_grad_(False), a=nn.Linear(6, 6), b=nn.Linear(6, 6)),
        Net(applied_twice, a=nn.Linear(6, 6)),
        Net(without_gradient, a=nn.Linear(6, 6), b=nn.Linear(6, 6), head=nn.Linear(6, 6)),
    ],
    ids=[
        "activation", "norm", "frozen first", "frozen second", "to an image", "enlarged", "shuffled", "used twice", "adapter",
        "recurrent", "teacher",
    ],
)  # fmt: skip
def test_no_pair(model):
    assert pairs(model) == []


def test_no_pairs_in_evaluation():
    assert pairs(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6)), stage="validate") == []


# -- norms


def norms(net: nn.Module, x: Tensor = X, **changes: object) -> list[NormCallSeen]:
    model = total(net)
    return list(norm_calls(record(model, model, x, **changes)))


def test_a_batch_norm_over_vectors_and_over_images():
    (seen,) = norms(nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)))
    assert (seen.where, seen.function, seen.uses_batch, seen.num_values, seen.num_channels) == ("net.1", "batch_norm", True, 8, 4)
    (seen,) = norms(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), IMAGES)
    assert (seen.num_values, seen.num_channels, seen.bias, seen.num_biases) == (8 * 49, 4, "net.0.bias", 4)


def test_an_instance_norm_has_the_values_of_one_sample():
    (seen,) = norms(nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), IMAGES)
    assert (seen.function, seen.uses_batch, seen.num_values, seen.bias) == ("instance_norm", True, 49, "net.0.bias")


def test_running_statistics_are_not_of_the_batch():
    (seen,) = norms(nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4).eval()))
    assert not seen.uses_batch
    assert norms(nn.BatchNorm1d(6), stage="validate") == []


def test_a_short_batch_is_known_as_one():
    assert norms(nn.BatchNorm1d(6), is_short=True)[0].is_short
    assert not norms(nn.BatchNorm1d(6))[0].is_short


class Turn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


@pytest.mark.parametrize(
    ("layers", "shape", "bias"),
    [
        ([nn.Linear(6, 4), nn.BatchNorm1d(4)], (8, 6), "net.0.bias"),
        ([nn.Linear(6, 4), nn.Flatten(0, 1), nn.BatchNorm1d(4)], (8, 5, 6), "net.0.bias"),
        ([nn.Linear(6, 4), Turn(), nn.BatchNorm1d(4)], (8, 5, 6), "net.0.bias"),
        ([nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)], (8, 3, 9, 9), "net.0.bias"),
        ([nn.Linear(6, 4, bias=False), nn.BatchNorm1d(4)], (8, 6), ""),
        ([nn.Linear(6, 4), nn.ReLU(), nn.BatchNorm1d(4)], (8, 6), ""),
        ([nn.Linear(6, 4), nn.BatchNorm1d(5)], (8, 5, 6), ""),
        ([nn.Linear(6, 4), nn.BatchNorm1d(4)], (8, 4, 6), ""),
        ([nn.Linear(6, 4), nn.Flatten(), nn.Unflatten(1, (4, 5)), nn.BatchNorm1d(4)], (8, 5, 6), ""),
        ([nn.Linear(6, 16), nn.Unflatten(1, (4, 2, 2)), nn.BatchNorm2d(4)], (8, 6), ""),
        ([nn.Conv2d(3, 4, 3), nn.Flatten(), nn.BatchNorm1d(196)], (8, 3, 9, 9), ""),
    ],
    ids=[
        "linear", "rows", "turned", "transposed convolution", "none", "activation", "positions", "as many positions", "mixed up",
        "image", "flattened",
    ],
)  # fmt: skip
def test_the_bias_counts_where_each_channel_has_one_element_of_it(layers, shape, bias):
    (seen,) = norms(nn.Sequential(*layers), torch.randn(shape))
    assert seen.bias == bias
    assert (seen.num_biases > 0) is bool(bias)


def test_a_frozen_bias_does_not_count():
    (seen,) = norms(nn.Sequential(nn.Linear(6, 4).requires_grad_(False), nn.BatchNorm1d(4)))
    assert seen.bias == ""


def test_dropout_is_found_through_layers_activations_and_pooling():
    layers = [nn.Dropout2d(0.3), nn.Conv2d(3, 4, 3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4)]
    (seen,) = norms(nn.Sequential(*layers), IMAGES)
    assert (seen.dropout, seen.dropout_rate, seen.num_layers_between) == ("net.0", 0.3, 2)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(6, 6)],
        [nn.Dropout(0.0), nn.Linear(6, 6)],
        [nn.Dropout(0.3).eval(), nn.Linear(6, 6)],
        [nn.AlphaDropout(0.3), nn.Linear(6, 6)],
        [nn.Dropout(0.3), nn.LayerNorm(6), nn.Linear(6, 6)],
    ],
    ids=["none", "rate 0", "inactive", "keeps the variance", "normalised"],
)
def test_no_dropout_before(layers):
    (seen,) = norms(nn.Sequential(*layers, nn.BatchNorm1d(6)))
    assert (seen.dropout, seen.dropout_rate, seen.num_layers_between) == ("", 0.0, 0)


def test_dropout_in_one_branch_of_a_sum_does_not_count():
    model = Net(lambda self, x: self.norm(x + F.dropout(x, 0.5)).sum(), norm=nn.BatchNorm1d(6))
    assert norm_calls(record(model, model, X))[0].dropout == ""


# -- inputs of convolutions


def inputs(forward: object, x: Tensor, **parts: nn.Module) -> list[ConvolutionInputSeen]:
    model = Net(forward, **parts)
    return list(convolution_inputs(record(model, model, x)))


def test_a_convolution_of_the_batch():
    (seen,) = inputs(lambda self, x: self.stem(x).sum(), torch.randn(4, 9, 9, 3), stem=nn.Conv2d(9, 4, 3, padding=1))
    assert (seen.where, seen.path, seen.shape, seen.num_channels, seen.kernel) == ("stem", "batch[0]", (4, 9, 9, 3), 9, (3, 3))


@pytest.mark.parametrize(
    ("change", "is_seen"),
    [
        (lambda x: (x / 255 - 0.5) / 0.2, True),
        (lambda x: F.dropout(x.contiguous(), 0.1), True),
        (lambda x: x.permute(0, 3, 1, 2).repeat(1, 3, 1, 1), False),
        (lambda x: x.permute(0, 2, 1, 3), False),
        (lambda x: x.relu(), False),
    ],
    ids=["scaled", "dropout", "moved", "turned", "something else"],
)
def test_only_what_kept_its_places_since_the_batch(change, is_seen):
    seen = inputs(lambda self, x: self.stem(change(x)).sum(), torch.randn(4, 9, 9, 3), stem=nn.Conv2d(9, 4, 3, padding=1))
    assert bool(seen) is is_seen


def test_the_second_convolution_is_not_of_the_batch():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    assert [each.where for each in inputs(lambda self, x: self.net(x).sum(), IMAGES, net=net)] == ["net.0"]
