"""Faults of learning and generalisation."""

from __future__ import annotations

from torch import nn

from benchmarks.faults.data import digits
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Program, Task, adam, sgd


def _on_digits(net: nn.Module, *, epochs: int, rate: float = 1e-3) -> Program:
    train, validation = digits()
    return Program(module=Task(net, optimizer=adam(rate)), train=train, validation=validation, epochs=epochs)


# -- NNG701


def _initialised(std: float | None) -> Program:
    net = mlp(64, 10, nn.Tanh)
    for layer in net:
        if isinstance(layer, nn.Linear) and std is not None:
            nn.init.normal_(layer.weight, std=std)
    train, validation = digits()
    return Program(module=Task(net, optimizer=sgd(1e-3)), train=train, validation=validation, epochs=5)


def weights_far_too_large() -> Program:
    return _initialised(4.0)


def weights_as_torch_makes_them() -> Program:
    return _initialised(None)


# -- NNG710


def _with_validation_labels(shift: int) -> Program:
    train, validation = digits()
    labels = validation.dataset.tensors[1]  # type: ignore[attr-defined]
    labels.copy_((labels + shift) % 10)
    return Program(module=Task(mlp(64, 10)), train=train, validation=validation, epochs=6)


def validation_labels_off_by_one() -> Program:
    return _with_validation_labels(1)


def validation_labels_as_they_are() -> Program:
    return _with_validation_labels(0)


# -- NNG713


def stopped_while_falling() -> Program:
    return _on_digits(mlp(64, 10), epochs=8, rate=3e-4)


def trained_to_the_end() -> Program:
    return _on_digits(mlp(64, 10), epochs=30, rate=3e-3)


FAULTS = (
    Fault(make=weights_far_too_large, fixed=weights_as_torch_makes_them, code="NNG701", before=40, others=("NNG302",)),
    Fault(make=validation_labels_off_by_one, fixed=validation_labels_as_they_are, code="NNG710", before=93, where="loss"),
    Fault(make=stopped_while_falling, fixed=trained_to_the_end, code="NNG713", before=200, where="loss"),
)
