"""The tape: what it writes down of a call, under which name, and of which tensors; and that no tensor of any kind breaks it."""

from __future__ import annotations

import gc
import operator
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, init_device_mesh
from torch.utils.checkpoint import checkpoint

from lightning_nnguard.probe.audit import tape as tape_module
from lightning_nnguard.probe.audit.graph import ancestors
from lightning_nnguard.probe.audit.measures import MEASURES
from lightning_nnguard.probe.audit.tape import Tape
from lightning_nnguard.probe.calls import CallWatch


def taped(run: Callable[..., Any], *batch: Any, model: nn.Module | None = None) -> Tape:
    """Return the tape of a function's calls; the test fails when the tape raises."""
    tape = Tape(model or nn.Module(), batch, MEASURES)
    watch = CallWatch({}, lambda error: pytest.fail(repr(error)), tape.record)
    watch.switch(True)
    try:
        run(*batch)
    finally:
        watch.switch(False)
    return tape


X = torch.randn(4, 3)


# -- names


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (torch.relu, "relu"),
        (F.relu, "relu"),
        (lambda x: F.relu(x, inplace=True), "relu"),
        (lambda x: x.clone().relu_(), "relu"),
        (lambda x: torch.relu_(x.clone()), "relu"),
        (lambda x: x - 1, "sub"),
        (lambda x: operator.isub(x.clone(), 1), "sub"),
        (lambda x: x.clone().sub_(1), "sub"),
        (torch.subtract, "sub"),
        (lambda x: 1 - x, "rsub"),
        (lambda x: x / 2, "div"),
        (lambda x: 2 / x, "rdiv"),
        (lambda x: torch.true_divide(x, 2), "div"),
        (lambda x: 2 * x, "mul"),
        (lambda x: 2 + x, "add"),
        (lambda x: x**2, "pow"),
        (lambda x: -x, "neg"),
        (torch.negative, "neg"),
        (lambda x: x @ x.T, "matmul"),
        (lambda x: x.T, "T"),
        (lambda x: x.data, "data"),
        (lambda x: x[0], "getitem"),
        (lambda x: x.softmax(1), "softmax"),
        (lambda x: torch.special.softmax(x, 1), "softmax"),
        (torch.special.expit, "sigmoid"),
        (lambda x: x.clip(0), "clamp"),
        (lambda x: torch.randn(2), "randn"),
        (lambda x: float(x.sum()), "float"),
        (lambda x: x.sum().item(), "item"),
        (lambda x: x.numpy(), "numpy"),
    ],
)
def test_each_function_has_one_name(run: Callable[[Tensor], Any], name: str) -> None:
    both = (lambda x: run(x, 1)) if run is torch.subtract else run
    assert taped(both, X).calls[-1].function == name


def test_attributes_that_are_no_tensors_are_not_written_down() -> None:
    assert taped(lambda x: (x.shape, x.dtype, x.device, x.requires_grad, x.dim(), len(x)), X).calls == []


# -- values


def test_an_in_place_call_makes_another_value_of_the_same_tensor() -> None:
    def run(x: Tensor) -> None:
        y = x * 2
        y.add_(1)
        y.sum()

    tape = taped(run, X)
    mul, add, total = tape.calls
    assert [each.function for each in tape.calls] == ["mul", "add", "sum"]
    assert add.inputs[0].call is mul
    assert total.inputs[0].call is add
    assert mul.inputs[0] is tape.batch[0]


@pytest.mark.pitfall(6)
@pytest.mark.parametrize("change", [lambda x: x.requires_grad_(), lambda x: x.add_(torch.ones(3, requires_grad=True))])
def test_the_input_of_an_in_place_call_is_as_it_was_before(change: Callable[[Tensor], Tensor]) -> None:
    tape = taped(lambda x: change(x).exp(), torch.randn(4, 3))
    call, after = tape.calls[-2], tape.calls[-1].inputs[0]
    assert not call.inputs[0].requires_grad
    assert after.requires_grad
    assert after.call is call


def test_a_result_in_parts_has_a_value_for_each() -> None:
    def run(x: Tensor) -> None:
        values, indices = x.max(1)
        torch.stack([values, indices.float()])
        for part in x.chunk(2):
            part.exp()

    tape = taped(run, X)
    largest, chunk = tape.calls[0], tape.calls[3]
    assert tape.calls[1].inputs[0].call is largest
    assert [value.call.function for value in tape.calls[2].inputs if value.call] == ["max", "float"]
    assert all(each.inputs[0].call is chunk for each in tape.calls[4:])
    assert len(tape.calls) == 6


def test_tensors_in_lists_and_keywords_are_inputs() -> None:
    tape = taped(lambda x, y: torch.cat([x, y], dim=1).clamp(min=0, max=y.max()), X, X + 1)
    cat, largest, clamp = tape.calls
    assert cat.inputs == cat.args[0] == tape.batch
    assert cat.kwargs == {"dim": 1}
    assert clamp.kwargs["max"].call is largest
    assert clamp.argument(1, "min") == 0
    assert clamp.argument(3, "other", "default") == "default"


def test_batch_parameters_and_buffers_have_their_names() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    model.append(model[0])
    stray = nn.Parameter(torch.ones(3))
    tape = taped(lambda batch: model(batch["x"]) + stray, {"x": X, "y": X + 1}, model=model)
    linear, norm = tape.calls[0], next(each for each in tape.calls if each.function == "batch_norm")
    assert [value.label for value in tape.batch] == ["batch[0]['x']", "batch[0]['y']"]
    assert linear.inputs[0].label == "batch[0]['x']"
    assert {value.label for value in linear.inputs[1:]} <= {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert [value.label for value in norm.inputs[1:]] == ["1.running_mean", "1.running_var", "1.weight", "1.bias"]
    assert [value.is_parameter for value in norm.inputs[1:]] == [False, False, True, True]
    added = tape.calls[-1].inputs[1]
    assert (added.label, added.is_parameter, added.requires_grad) == ("", True, True)


def test_a_value_tells_what_the_tensor_was_like() -> None:
    tape = taped(lambda x: (x.requires_grad_() * 2).sum(), torch.ones(2, 5, dtype=torch.float64))
    before, after = tape.batch[0], tape.calls[-1].inputs[0]
    assert (before.shape, before.dtype, before.is_floating, before.is_leaf, before.requires_grad) == (
        (2, 5), "float64", True, True, False,
    )  # fmt: skip
    assert (after.requires_grad, after.is_leaf) == (True, False)


def test_arguments_are_plain_data() -> None:
    def run(x: Tensor) -> None:
        torch.rand(3, generator=torch.Generator(), dtype=torch.float64)
        x.view(torch.Size([12])).to("cpu")

    rand, view, to = taped(run, X).calls
    assert rand.kwargs == {"generator": "Generator", "dtype": torch.float64}
    assert view.args[1] == (12,)
    assert to.args[1] == "cpu"


def test_a_long_list_of_numbers_is_not_kept() -> None:
    (made,) = taped(lambda: torch.tensor(list(range(5000)))).calls
    assert made.args[0] == tuple(range(tape_module.MAX_ITEMS))


# -- memory


def test_no_tensor_is_kept_alive() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def run(x: Tensor) -> None:
        for function in (torch.exp, torch.sin, lambda y: torch.cat([y, y]), lambda y: y.max(0)[0]):
            x = function(x)
            alive.append(weakref.ref(x))

    tape = taped(run, torch.randn(3, 3))
    gc.collect()
    assert [each.function for each in tape.calls] == ["exp", "sin", "cat", "max"]
    assert [each() for each in alive] == [None] * 4


def test_a_new_tensor_in_the_place_of_a_dead_one_is_another() -> None:
    def run(x: Tensor) -> None:
        for _ in range(200):
            y = x.detach()
            del y  # the next one is likely to get its id
            torch.from_numpy(x.numpy()).exp()

    tape = taped(run, X)
    made = [each for each in tape.calls if each.function == "exp"]
    assert len(made) == 200
    assert {each.inputs[0].call.function for each in made if each.inputs[0].call} <= {"from_numpy"}


def test_calls_without_end_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape_module, "MAX_CALLS", 10)

    def run(x: Tensor) -> None:
        for _ in range(9):
            x = x + 1

    tape = taped(run, X)
    assert not tape.is_full
    tape = taped(lambda x: (run(x), run(x)), X)
    assert tape.is_full
    assert len(tape.calls) == 10


# -- where gradients flow


@pytest.mark.pitfall(4)
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_leads_to_its_layers_and_is_written_down_once(reentrant: bool) -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    losses: list[Tensor] = []

    def run(x: Tensor) -> None:
        h = checkpoint(lambda y: second(y).tanh(), first(x), use_reentrant=reentrant)
        losses.append(h.square().mean())

    tape = taped(run, X, model=nn.Sequential(first, second))
    loss = tape.value(losses[0])
    assert [each.function for each in tape.calls if each.function in {"linear", "tanh"}] == ["linear", "linear", "tanh"]
    made = next(each for each in tape.calls if each.function == "square").inputs[0]
    assert made.requires_grad
    assert made.call is not None
    assert made.call.function == "tanh"
    assert "tanh" in {each.function for each in ancestors(loss, with_grad=True)}


# -- tensors of every kind


class Marked(Tensor):
    """A tensor that sees every call itself."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return super().__torch_function__(func, types, args, kwargs or {})


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


def distributed() -> Tensor:
    return DTensor.from_local(torch.randn(4, 3), init_device_mesh("cpu", (1,)), [Replicate()])


ODD: dict[str, Callable[[], Any]] = {
    "scalar": lambda: torch.tensor(1.0),
    "empty": lambda: torch.empty(0, 3),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "compressed": lambda: torch.eye(3).to_sparse_csr(),
    "meta": lambda: torch.randn(4, 3, device="meta"),
    "complex": lambda: torch.randn(4, 3, dtype=torch.complex64),
    "quantised": lambda: torch.quantize_per_tensor(torch.randn(4, 3), 0.1, 0, torch.quint8),
    "float8": lambda: torch.randn(4, 3).to(torch.float8_e4m3fn),
    "booleans": lambda: torch.ones(4, 3, dtype=torch.bool),
    "nested": lambda: torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)]),
    "jagged": lambda: torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)], layout=torch.jagged),
    "subclass": lambda: torch.randn(4, 3).as_subclass(Marked),
    "frozen parameter": lambda: nn.Parameter(torch.randn(4, 3), requires_grad=False),
    "not finite": lambda: torch.full((4, 3), torch.nan),
}
CALLS: dict[str, Callable[[Tensor], Any]] = {
    "clone": lambda x: x.clone(),
    "add": lambda x: x + x,
    "exp": lambda x: x.exp(),
    "sum": lambda x: x.sum(),
    "softmax": lambda x: F.softmax(x, -1),
    "linear": lambda x: F.linear(x, torch.ones(2, 3)),
    "mse": lambda x: F.mse_loss(x, x),
    "cross_entropy": lambda x: F.cross_entropy(x, torch.zeros(4, dtype=torch.long)),
    "to likelihood": lambda x: F.cross_entropy(x, x),
    "bce": lambda x: F.binary_cross_entropy_with_logits(x, x),
    "kl": lambda x: F.kl_div(x, x, reduction="batchmean"),
    "batch norm": lambda x: F.batch_norm(x, torch.zeros(3), torch.ones(3)),
    "argmax": lambda x: x.argmax(-1),
    "dense": lambda x: x.to_dense(),
    "unbind": lambda x: x.unbind(),
    "set": lambda x: x.__setitem__(0, 1.0),
    "attributes": lambda x: (x.T, x.data, x.real, x.grad),
}


def attempt(run: Callable[[Tensor], Any], x: Tensor) -> None:
    try:
        run(x)
    except (RuntimeError, NotImplementedError, IndexError, TypeError, AttributeError, ValueError):  # not every kind can everything
        return


@pytest.mark.pitfall(17)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
def test_odd_tensors_do_not_break_the_tape(kind: str) -> None:
    made = ODD[kind]()
    for name, run in CALLS.items():
        tape = taped(lambda x, run=run: attempt(run, x), made)
        assert len(tape.batch) == 1, name
    with torch.inference_mode():
        taped(lambda x: attempt(CALLS["add"], x), ODD[kind]())


@pytest.mark.filterwarnings("ignore")
def test_distributed_tensors_do_not_break_the_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        made = distributed()
        for run in CALLS.values():
            assert len(taped(lambda x, run=run: attempt(run, x), made).batch) == 1
    finally:
        torch.distributed.destroy_process_group()


def test_transforms_do_not_break_the_tape() -> None:
    weight = torch.randn(3)

    def loss(x: Tensor) -> Tensor:
        return F.mse_loss((x * weight).sum().reshape(1), torch.zeros(1))

    tape = taped(lambda x: torch.func.vmap(torch.func.grad(loss))(x).sum(), X)
    assert [each.function for each in tape.calls] == ["sum"]


def test_lazy_layers_have_no_shape_before_their_first_call() -> None:
    model = Lazy()
    tape = taped(model, X, model=model)
    linear = next(each for each in tape.calls if each.function == "linear")
    assert linear.inputs[1].shape == (2, 3)
    assert linear.inputs[1].label == "layer.weight"


def test_a_measure_runs_without_gradients_and_unseen() -> None:
    seen: list[tuple[bool, int]] = []
    tape = Tape(nn.Module(), (), {"exp": lambda args, kwargs, result: seen.append((torch.is_grad_enabled(), len(args)))})
    watch = CallWatch({}, lambda error: pytest.fail(repr(error)), tape.record)
    watch.switch(True)
    try:
        X.requires_grad_(False).exp()
    finally:
        watch.switch(False)
    assert seen == [(False, 1)]
    assert tape.calls[-1].fact is None
    assert tape.calls[-1].grad_enabled
