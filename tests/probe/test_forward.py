"""What of a forward pass is seen: modules and calls, under which names, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lightning_nnguard.observation import ActivationProfileSeen, ActivationSeen, DeadUnitsSeen, InitialProfileSeen, Seen
from lightning_nnguard.probe.activations import ActivationCollector
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.forward import ForwardWatch
from lightning_nnguard.probe.frames import Caller, caller
from lightning_nnguard.probe.modules import first_tensor
from lightning_nnguard.probe.names import clean_name, module_names, parameters_of
from lightning_nnguard.probe.ranks import Ranks


class Model(nn.Module):
    """Children by name, and a forward of one's own."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **children: nn.Module) -> None:
        super().__init__()
        self.run = forward
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def watch(model: nn.Module, x: Tensor, *, backward: bool = False, steps: int = 1) -> list[Seen]:
    """Run a model under watch and return what was seen in the last step."""
    errors: list[Exception] = []
    collector = ActivationCollector(ranks=Ranks(), device=torch.device("cpu"), max_histograms=0)
    forward = ForwardWatch(model, activations=collector, listeners={}, on_error=errors.append)
    forward.look()
    seen: list[Seen] = []
    for step in range(steps):
        forward.attach()
        output = model(x)
        if backward:
            output.sum().backward()
        forward.detach()
        sums, maxima = collector.pack()
        seen = list(collector.observe(sums.numpy(), maxima.numpy(), At(step=step, epoch=0, batch_index=step)))
    assert errors == []
    return seen


def activations(seen: list[Seen]) -> dict[str, ActivationSeen]:
    return {each.where: each for each in seen if isinstance(each, ActivationSeen)}


def test_nothing_is_taken_within_a_transform() -> None:
    model = Model(lambda self, x: torch.vmap(lambda row: self.act(row) + F.silu(row))(x) + self.act(x), act=nn.ReLU())
    seen = activations(watch(model, torch.randn(8, 4)))
    assert list(seen) == ["act"]


def test_numbers_are_those_of_the_output() -> None:
    model, x = Model(lambda self, x: self.act(self.linear(x)), linear=nn.Linear(6, 5), act=nn.ReLU()), torch.randn(32, 6)
    seen = activations(watch(model, x))
    output = model(x).detach()
    act = seen["act"]
    assert set(seen) == {"linear", "act"}
    assert (act.low, act.high) == (float(output.min()), float(output.max()))
    assert act.mean == pytest.approx(float(output.mean()), rel=1e-5)
    assert act.std == pytest.approx(float(output.std(correction=0)), rel=1e-5)
    assert act.rms == pytest.approx(float(output.square().mean().sqrt()), rel=1e-5)
    assert act.zero_fraction == pytest.approx(float((output == 0).float().mean()))
    assert (act.num_samples, act.num_values, act.dtype) == (32, 160, "float32")


def test_functional_calls_are_seen_with_their_line_and_modules_once() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x = torch.tanh(self.act(x))
        return x.clamp_min(0).sigmoid()

    seen = activations(watch(Model(forward, first=nn.Linear(6, 6), act=nn.ReLU()), torch.randn(8, 6)))
    assert set(seen) == {"first", "Model.relu()", "act", "Model.tanh()", "Model.clamp_min()", "Model.sigmoid()"}
    source = seen["Model.relu()"].source
    assert source is not None
    assert source.startswith("test_forward.py:")
    assert source.endswith(" relu")
    assert seen["act"].source is None


@pytest.mark.parametrize(
    ("call", "is_rectifier"),
    [
        (lambda x: F.relu(x), True),
        (lambda x: x.relu(), True),
        (lambda x: torch.relu_(x.clone()), True),
        (lambda x: F.relu6(x), True),
        (lambda x: F.hardtanh(x, 0.0, 6.0), True),
        (lambda x: F.hardtanh(x, min_val=0.0, max_val=1.0), True),
        (lambda x: F.hardtanh(x), False),
        (lambda x: F.hardtanh(x, max_val=2.0), False),
        (lambda x: torch.clamp(x, min=0), True),
        (lambda x: x.clamp(0), True),
        (lambda x: torch.clamp(x, 0, 1), False),
        (lambda x: torch.clamp(x, min=-1), False),
        (lambda x: x.clamp(max=0), False),
        (lambda x: x.clamp_min(0.0), True),
        (lambda x: x.clamp_min(1e-6), False),
        (lambda x: F.gelu(x), False),
    ],
)
def test_rectifiers(call: Callable[[Tensor], Tensor], is_rectifier: bool) -> None:
    model = Model(lambda self, x: call(self.linear(x)), linear=nn.Linear(6, 6))
    seen = activations(watch(model, torch.randn(8, 6)))
    assert (len(seen) == 2) == is_rectifier


class HingeLoss(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(1 - x).mean()


def test_hinges_of_a_loss_are_no_layers() -> None:
    def hinge_loss(x: Tensor) -> Tensor:
        return F.relu(1 - x).mean() + F.relu(1 + x).mean()

    model = Model(lambda self, x: hinge_loss(self.linear(x)) + self.criterion(x), linear=nn.Linear(6, 6), criterion=HingeLoss())
    assert set(activations(watch(model, torch.randn(8, 6)))) == {"linear"}


@pytest.mark.pitfall(16)
def test_repeated_calls_have_rows_of_their_own_up_to_four() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        for _ in range(6):
            x = self.act(self.linear(x))
        return x

    seen = activations(watch(Model(forward, linear=nn.Linear(6, 6), act=nn.ReLU()), torch.randn(8, 6)))
    assert set(seen) == {f"{name}{number}" for name in ("linear", "act") for number in ("", "#2", "#3", "#4")}


def test_gates_are_marked() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return torch.sigmoid(self.gate(x)) * self.value(x) + torch.tanh(x)

    seen = activations(watch(Model(forward, gate=nn.Linear(6, 6), value=nn.Linear(6, 6)), torch.randn(8, 6)))
    assert seen["Model.sigmoid()"].is_gate
    assert not seen["Model.tanh()"].is_gate


@pytest.mark.pitfall(4)
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_recomputation_in_backward_is_not_counted_again(use_reentrant: bool) -> None:
    block = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model = Model(lambda self, x: checkpoint(self.block, x, use_reentrant=use_reentrant), block=block)
    seen = activations(watch(model, torch.randn(8, 6, requires_grad=True), backward=True))
    assert set(seen) == {"block.0", "block.1", "block.2"}


def test_units_of_convolutions_and_of_features() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        return F.relu(self.linear(x.flatten(2).transpose(1, 2)))  # (batch, positions, features)

    model = Model(forward, conv=nn.Conv2d(3, 5, 3), linear=nn.Linear(5, 7))
    with torch.no_grad():
        model.conv.bias[:2] = -100  # type: ignore[index]
        model.linear.bias[:] = 1  # type: ignore[index]
        model.linear.weight.mul_(1e-3)  # type: ignore[operator]
        model.linear.bias[6] = -1  # type: ignore[index]
    seen = watch(model, torch.randn(600, 3, 6, 6), steps=2)
    dead = {each.where: (each.num_dead, each.num_units) for each in seen if isinstance(each, DeadUnitsSeen)}
    assert dead == {"Model.relu()": (2, 5), "Model.relu()#2": (1, 7)}


def test_a_width_that_varies_has_no_dead_units() -> None:
    widths = iter([5, 9, 5, 9, 9, 5])

    def forward(self: Any, x: Tensor) -> Tensor:
        return F.relu(-self.linear(x)[:, :1].expand(-1, next(widths)).abs())

    seen = watch(Model(forward, linear=nn.Linear(6, 6)), torch.randn(2000, 6), steps=6)
    assert [each.num_dead for each in seen if isinstance(each, DeadUnitsSeen)] in ([], [0])


def test_the_profile_holds_the_weighted_layers_in_call_order() -> None:
    model = Model(lambda self, x: self.a(torch.relu(self.b(x))), a=nn.Linear(6, 6), b=nn.Linear(6, 6))
    (profile,) = (each for each in watch(model, torch.randn(8, 6)) if isinstance(each, ActivationProfileSeen))
    assert profile.layers == ("b", "a")


@pytest.mark.parametrize(("steps", "num"), [(1, 1), (2, 0)])
def test_the_profile_before_the_first_step_is_told_apart(steps: int, num: int) -> None:
    model = Model(lambda self, x: self.a(self.b(x)), a=nn.Linear(6, 6), b=nn.Linear(6, 6))
    seen = watch(model, torch.randn(8, 6), steps=steps)
    initial = [each for each in seen if isinstance(each, InitialProfileSeen)]
    (profile,) = (each for each in seen if isinstance(each, ActivationProfileSeen))
    assert [(each.layers, each.rms) for each in initial] == [(profile.layers, profile.rms)] * num


@pytest.mark.pitfall(26)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    model = Model(lambda self, x: self.act(x), act=nn.ReLU())
    x = (torch.randn(64, 6) * 300).to(dtype)
    act = activations(watch(model, x))["act"]
    assert act.dtype == str(dtype).removeprefix("torch.")
    assert act.largest == torch.finfo(dtype).max
    assert act.rms == pytest.approx(float(x.relu().double().square().mean().sqrt()), rel=1e-4)


class Pair(NamedTuple):
    ids: Tensor
    hidden: Tensor


@dataclass
class Output:
    name: str
    hidden: Tensor


X = torch.randn(2, 3)


@pytest.mark.pitfall(17)
@pytest.mark.pitfall(21)
@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (X, X), ((None, X), X), ([X.long(), X], X), ({"ids": X.long(), "hidden": [X]}, X), (Pair(X.long(), X), X),
        (Output("a", X), X), (None, None), ("text", None), (X.long(), None), (torch.empty(0), None), (X.to_sparse(), None),
        (X.to(torch.complex64), None), (torch.empty(2, device="meta"), None), (object(), None), ((), None),
    ],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
def test_first_tensor(output: object, expected: Tensor | None) -> None:
    found = first_tensor(output)
    assert found is None if expected is None else found is not None and torch.equal(found, expected)


@pytest.mark.pitfall(22)
def test_what_a_hook_returns_changes_nothing_and_copies_carry_none() -> None:
    import copy
    import pickle

    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True))
    collector = ActivationCollector(ranks=Ranks(), device=torch.device("cpu"), max_histograms=0)
    forward = ForwardWatch(model, activations=collector, listeners={}, on_error=print)
    forward.look()
    x = torch.randn(4, 6)
    plain = model(x)
    forward.attach()
    assert torch.equal(model(x), plain)
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    forward.detach()
    before = dict(collector._counts)
    for each in twins:
        assert torch.equal(each(x), plain)
    assert collector._counts == before
    assert not any(each._forward_hooks for each in model.modules())


# -- callers and names -----------------------------------------------------------------------------------------------------------


class Asks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.found: Caller | None = None
        self.names: dict[int, str] = {}

    def forward(self, x: Tensor) -> Tensor:
        return self.helper(x)

    def helper(this, x: Tensor) -> Tensor:  # noqa: N805 - not everybody calls it self
        this.found = caller(this.names)
        return x


def test_the_caller_is_the_innermost_module_and_the_users_line() -> None:
    model = nn.Sequential(nn.Identity(), nn.Sequential(Asks()))
    asks: Any = model[1][0]
    asks.names = module_names(model)
    model(torch.ones(1))
    assert asks.found.path == "1.0"
    assert asks.found.module_id == id(asks)
    assert not asks.found.is_library
    assert asks.found.source.startswith("test_forward.py:")
    assert asks.found.functions[0] == "helper"


def test_without_a_module_there_is_no_path() -> None:
    found = caller({})
    assert found.path == ""
    assert found.source is not None


@pytest.mark.pitfall(3)
@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("_orig_mod.encoder.0", "encoder.0"),
        ("encoder._orig_mod.0", "encoder.0"),
        ("_fsdp_wrapped_module.encoder._checkpoint_wrapped_module.weight", "encoder.weight"),
        ("encoder._orig_mod", "encoder"),
        ("my_orig_mod.x", "my_orig_mod.x"),
        ("", ""),
    ],
)
def test_clean_names(name: str, clean: str) -> None:
    assert clean_name(name) == clean


@pytest.mark.pitfall(16)
def test_parameters_and_their_kinds() -> None:
    class RMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))

    model = nn.ModuleDict(
        {
            "embed": nn.Embedding(5, 4), "linear": nn.Linear(4, 4), "norm": nn.BatchNorm1d(4), "rms": RMSNorm(),
            "rnn": nn.LSTM(4, 4), "lazy": nn.LazyLinear(3), "head": nn.Linear(4, 5, bias=False),
        }
    )  # fmt: skip
    model["head"].weight = model["embed"].weight  # tied: listed once
    model.register_parameter("ids", nn.Parameter(torch.arange(3), requires_grad=False))
    model.register_parameter("empty", nn.Parameter(torch.zeros(0)))
    kinds = {info.name: info.kind for info in parameters_of(model)}
    assert kinds == {
        "embed.weight": "embedding", "linear.weight": "weight", "linear.bias": "bias", "norm.weight": "norm", "norm.bias": "norm",
        "rms.scale": "norm", "rnn.weight_ih_l0": "weight", "rnn.weight_hh_l0": "weight", "rnn.bias_ih_l0": "bias",
        "rnn.bias_hh_l0": "bias",
    }  # fmt: skip
