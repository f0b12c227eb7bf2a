"""What the reader sees of parameters that the model does not know."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import UnregisteredParameterSeen
from lightning_nnguard.probe.audit.readers.unregistered import unregistered_parameters
from tests.probe.audit.recording import Net, record

X = torch.randn(8, 6)


def through(self: Net, x: Tensor) -> Tensor:
    for layer in self.layers.values() if isinstance(self.layers, dict) else self.layers:
        x = layer(x)
    return self.head(x).sum()


def seen_in(model: nn.Module, **changes: Any) -> list[UnregisteredParameterSeen]:
    return list(unregistered_parameters(record(model, model, X, **changes)))


def pair() -> list[nn.Module]:
    return [nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)]


@pytest.mark.parametrize(
    ("container", "where"),
    [
        (list, "net.layers[0].weight"),
        (tuple, "net.layers[0].weight"),
        (lambda layers: dict(zip("abc", layers, strict=True)), "net.layers['a'].weight"),
    ],
    ids=["list", "tuple", "dict"],
)
def test_layers_in_a_container(container, where):
    model = Net(lambda self, x: self.net(x), net=Net(through, layers=container(pair()), head=nn.Linear(6, 2)))
    (seen,) = seen_in(model)
    assert (seen.where, seen.container, seen.num_members, seen.owner) == (where, "net.layers", 3, "Linear")
    assert (seen.num_parameters, seen.num_values) == (4, 2 * (36 + 6))
    assert (seen.is_training, seen.is_new, seen.is_optimized, seen.manual) == (True, False, False, False)
    assert "layer(x)" in seen.source


def test_a_parameter_in_a_nested_list_has_no_owner():
    model = Net(lambda self, x: (x * self.scales["all"][0]).sum(), scales={"all": [nn.Parameter(torch.ones(6))]})
    (seen,) = seen_in(model)
    assert (seen.where, seen.owner, seen.num_parameters, seen.num_values) == ("scales['all'][0]", "", 1, 6)


def test_what_an_optimizer_holds_is_known_as_held():
    model = Net(through, layers=pair(), head=nn.Linear(6, 2))
    held = {id(each) for layer in model.layers for each in layer.parameters()}
    assert [each.is_optimized for each in seen_in(model, optimized=held)] == [True]
    assert [each.is_optimized for each in seen_in(model)] == [False]


@pytest.mark.parametrize("keep", [lambda own: own, lambda own: [own], lambda own: {"one": own}], ids=["alone", "list", "dict"])
def test_an_optimizer_that_the_model_keeps_for_itself_counts(keep):
    layers = pair()
    own = torch.optim.SGD([each for layer in layers for each in layer.parameters()], 0.1)
    model = Net(through, layers=layers, head=nn.Linear(6, 2), own=keep(own))
    assert [each.is_optimized for each in seen_in(model)] == [True]


def test_eval_mode_is_known():
    model = Net(through, layers=[each.eval() for each in pair()], head=nn.Linear(6, 2))
    assert [each.is_training for each in seen_in(model)] == [False]


def test_layers_made_in_the_forward():
    model = Net(lambda self, x: self.head(nn.Linear(6, 6)(x)).sum(), head=nn.Linear(6, 2))
    (seen,) = seen_in(model, manual=True)
    assert (seen.where, seen.container, seen.is_new, seen.owner, seen.manual) == ("Net", "", True, "Linear", True)
    assert (seen.num_parameters, seen.num_values) == (2, 42)


def test_copies_are_not_made_at_random():
    model = Net(lambda self, x: copy.deepcopy(self.head)(x).sum(), head=nn.Linear(6, 2))
    assert [(each.is_new, each.container) for each in seen_in(model)] == [(False, "")]


def fixed_kernel(self: Net, x: Tensor) -> Tensor:
    blur = nn.Linear(6, 6, bias=False)
    blur.weight.data = torch.eye(6)
    return self.head(blur(x)).sum()


def written_kernel(self: Net, x: Tensor) -> Tensor:
    blur = nn.Linear(6, 6, bias=False)
    with torch.no_grad():
        blur.weight.copy_(torch.eye(6))
    return self.head(blur(x)).sum()


def kernel_written_through_data(self: Net, x: Tensor) -> Tensor:
    blur = nn.Linear(6, 6, bias=False)
    blur.weight.data.copy_(torch.eye(6))
    return self.head(blur(x)).sum()


@pytest.mark.parametrize("forward", [fixed_kernel, written_kernel, kernel_written_through_data])
def test_a_kernel_with_given_numbers_is_not_made_at_random(forward):
    assert [each.is_new for each in seen_in(Net(forward, head=nn.Linear(6, 2)))] == [False]


def teacher(self: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        target = self.layers[0](x)
    return F.mse_loss(self.head(x), target)


def unused(self: Net, x: Tensor) -> Tensor:
    self.layers[0](x)
    return self.head(x).sum()


def detached(self: Net, x: Tensor) -> Tensor:
    return F.mse_loss(self.head(x), self.layers[0](x).detach())


def late(self: Net, x: Tensor) -> Tensor:
    self.extra = nn.Linear(6, 6)
    return self.head(self.extra(x)).sum()


def shared(self: Net, x: Tensor) -> Tensor:
    return self.layers[0](x).sum()


@pytest.mark.parametrize(
    ("forward", "layers"),
    [
        (through, [each.requires_grad_(False) for each in pair()]),
        (teacher, [nn.Linear(6, 6)]),
        (unused, [nn.Linear(6, 6)]),
        (detached, [nn.Linear(6, 6)]),
        (late, []),
        (through, nn.ModuleList(pair())),
    ],
    ids=["frozen", "no_grad", "unused", "detached", "registered late", "registered"],
)
def test_nothing_is_said(forward: Callable[..., Tensor], layers: Any):
    assert seen_in(Net(forward, layers=layers, head=nn.Linear(6, 6))) == []


def test_a_list_of_registered_layers_is_only_another_name():
    layer = nn.Linear(6, 6)
    assert seen_in(Net(shared, first=layer, layers=[layer])) == []


def test_evaluation_says_nothing():
    assert seen_in(Net(through, layers=pair(), head=nn.Linear(6, 2)), stage="validate") == []


def test_a_plain_attribute_was_put_there_on_purpose():
    model = Net(lambda self, x: (self.head(x) + self.__dict__["critic"](x)).sum(), head=nn.Linear(6, 2))
    model.__dict__["critic"] = nn.Linear(6, 2)
    (seen,) = seen_in(model)
    assert (seen.container, seen.is_new) == ("", False)


def test_lists_that_torch_keeps_are_its_own():
    model = Net(lambda self, x: (self.wrapped(x) * self.wrapped.params[0]).sum(), wrapped=nn.Identity())
    model.wrapped.params = [nn.Parameter(torch.ones(6))]  # as FSDP does
    assert [each.container for each in seen_in(model)] == [""]


def test_layers_whose_parameters_are_exchanged_while_they_run_are_the_models_own():
    def exchanged(self: Net, x: Tensor) -> Tensor:
        own = self.head.weight
        self.head.weight = nn.Parameter(own.detach().clone())
        result = self.head(x).sum()
        self.head.weight = own
        return result

    assert seen_in(Net(exchanged, head=nn.Linear(6, 2))) == []
