"""Faults of a split: tables that are sorted by their label."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.faults.data import raw
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Program, Task, sgd

# -- NNG121


def _split(name: str, num_classes: int, *, sort: bool, epochs: int, batch_size: int) -> Program:
    """Return a program on a table whose last fifth is for validation."""
    x, y = raw(name)
    x = (x - x.mean(0)) / (x.std(0) + 1e-3)
    order = y.argsort(stable=True) if sort else torch.arange(len(y))
    x, y = x[order], y[order]
    num = len(x) - len(x) // 5
    train = DataLoader(TensorDataset(x[:num], y[:num]), batch_size, shuffle=True)
    validation = DataLoader(TensorDataset(x[num:], y[num:]), batch_size)
    task = Task(mlp(x.shape[1], num_classes, depth=1), optimizer=sgd(0.05))
    return Program(module=task, train=train, validation=validation, epochs=epochs)


def wine_in_the_order_of_its_classes() -> Program:
    return _split("wine", 3, sort=True, epochs=4, batch_size=16)


def wine_in_random_order() -> Program:
    return _split("wine", 3, sort=False, epochs=4, batch_size=16)


def digits_in_the_order_of_their_classes() -> Program:
    return _split("digits", 10, sort=True, epochs=3, batch_size=64)


def digits_in_random_order() -> Program:
    return _split("digits", 10, sort=False, epochs=3, batch_size=64)


FAULTS = (
    Fault(make=wine_in_the_order_of_its_classes, fixed=wine_in_random_order, code="NNG121", before=20, where="batch[1]"),
    Fault(make=digits_in_the_order_of_their_classes, fixed=digits_in_random_order, code="NNG121", before=48, where="batch[1]"),
)
