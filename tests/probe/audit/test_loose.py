"""Plain tensors that a forward uses as weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import UnregisteredParameterSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.loose import LooseTensors, loose_tensors
from lightning_nnguard.probe.audit.measures import MEASURES
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.tape import Tape
from lightning_nnguard.probe.calls import CallWatch
from tests.probe.audit.recording import Net

X = torch.randn(8, 6)


def plain(*shape: int) -> Tensor:
    return torch.randn(*shape).requires_grad_()


def told(
    model: nn.Module, *, looks: int = 3, optimized: Any = (), between: Callable[[], object] = lambda: None, x: Tensor = X
) -> list[UnregisteredParameterSeen]:
    """Return what is told of a model in some looks after an audited batch."""
    loose = LooseTensors(model, lambda: {id(each) for each in optimized})
    tape = Tape(model, (x,), MEASURES)
    watch = CallWatch({}, lambda error: pytest.fail(repr(error)), tape.record)
    watch.switch(True)
    try:
        loss = model(x)
    finally:
        watch.switch(False)
    record = Record(
        at=At(step=0, epoch=0, batch_index=0), stage="train", calls=tuple(tape.calls), is_whole=True, losses=(tape.value(loss),),
        manual=False, batch=tape.batch, batch_size=8, loss_modules=frozenset(),
    )  # fmt: skip
    loose.meet(record, tape.loose)
    found: list[UnregisteredParameterSeen] = []
    for _ in range(looks):
        between()
        found += loose.confirm()
    return found


def product(self: Net, x: Tensor) -> Tensor:
    return self.head(x @ self.weight).sum()


def model_of(forward: Callable[..., Tensor] = product, **parts: Any) -> Net:
    return Net(lambda self, x: self.net(x), net=Net(forward, **{"head": nn.Linear(6, 2), **parts}))


@pytest.mark.parametrize(
    ("forward", "shape", "where"),
    [
        (product, (6, 6), "net.weight"),
        (lambda self, x: self.head(F.linear(x, self.weight)).sum(), (6, 6), "net.weight"),
        (lambda self, x: self.head(F.linear(x, weight=self.weight)).sum(), (6, 6), "net.weight"),
        (lambda self, x: self.head(torch.einsum("bi,io->bo", x, self.weight)).sum(), (6, 6), "net.weight"),
        (lambda self, x: (x @ self.weight.t()).sum(), (2, 6), "net.weight"),
        (lambda self, x: (x @ self.weight.double().float()).sum(), (6, 2), "net.weight"),
        (lambda self, x: F.conv1d(x[:, None], self.weight).sum(), (2, 1, 3), "net.weight"),
    ],
    ids=["product", "linear", "keyword", "einsum", "transposed", "carried", "convolution"],
)
def test_a_tensor_with_a_gradient(forward, shape, where):
    weight = plain(*shape)
    (seen,) = told(model_of(forward, weight=weight))
    assert (seen.where, seen.num_values, seen.num_unchanged) == (where, weight.numel(), 3)
    assert (seen.is_tensor, seen.requires_grad, seen.is_optimized, seen.num_parameters) == (True, True, False, 1)
    assert "self.weight" in seen.source


def test_tensors_in_a_list():
    model = model_of(lambda self, x: self.head(x @ self.all["one"][1]).sum(), all={"one": [plain(6, 6), plain(6, 6)]})
    assert [each.where for each in told(model)] == ["net.all['one'][1]"]


def test_what_is_looked_at_in_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_nnguard.probe.audit.loose._MAX_VALUES", 300)
    one, many = torch.zeros(1), [torch.zeros(1)] * 1000
    model = Net(lambda self, x: x, many=many, few={"one": one}, more=many, last=one)
    names = [name.partition("[")[0] for name, _ in loose_tensors(model)]
    assert Counter(names) == {"many": 256, "few": 1, "more": 43, "last": 1}


def test_a_constant_tensor():
    assert [each.requires_grad for each in told(model_of(weight=torch.randn(6, 6)))] == [False]


def test_it_is_told_once_and_after_three_looks():
    assert told(model_of(weight=plain(6, 6)), looks=2) == []
    assert len(told(model_of(weight=plain(6, 6)), looks=9)) == 1


@pytest.mark.parametrize(
    "model",
    [
        model_of(weight=nn.Parameter(torch.randn(6, 6))),
        model_of(lambda self, x: self.head(self.points).sum(), points=plain(4, 6)),
        model_of(lambda self, x: self.head(x + self.shift).sum(), shift=plain(6)),
        model_of(lambda self, x: self.head(x @ torch.randn(6, 6, requires_grad=True)).sum()),
        model_of(lambda self, x: self.head(x @ self.basis.to(x.device)).sum(), basis=torch.randn(6, 6)),
        model_of(lambda self, x: ((x @ self.weight).sum() * 0, self.head(x).sum())[1], weight=plain(6, 6)),
        model_of(weight=plain(6, 6) / 2),
        model_of(lambda self, x: (self.adjacency @ self.head(x)).sum(), adjacency=torch.rand(8, 8)),
    ],
    ids=[
        "parameter",
        "points of an equation",
        "no product",
        "made in the forward",
        "carried",
        "not in the loss",
        "no leaf",
        "first operand",
    ],
)
def test_silent(model):
    assert told(model) == []


def test_a_buffer():
    model = model_of()
    model.net.register_buffer("weight", torch.randn(6, 6))
    assert told(model) == []


def test_one_that_an_optimizer_holds():
    weight = plain(6, 6)
    assert told(model_of(weight=weight), optimized=[weight]) == []
    assert told(model_of(weight=weight, own=torch.optim.SGD([weight], 0.1))) == []


def test_one_that_is_moved_by_hand():
    weight = plain(6, 6)
    assert told(model_of(weight=weight), between=lambda: weight.data.add_(1)) == []


def test_one_that_is_made_anew():
    model = model_of(weight=plain(6, 6))
    assert told(model, between=lambda: setattr(model.net, "weight", plain(6, 6))) == []
