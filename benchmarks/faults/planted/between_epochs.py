"""Faults of what a module does between epochs."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from torch import nn

from benchmarks.faults.data import digits, table
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Program, Task, adam

# -- NNG514


def _drawn_afresh(module: Any) -> None:
    for each in module.net.modules():
        if isinstance(each, nn.Linear):
            nn.init.kaiming_normal_(each.weight)
            nn.init.zeros_(each.bias)


class _EachEpoch(Task):
    """Does something to its network at the start of each epoch, or of the first one alone."""

    act: Callable[[Any], None]
    in_each: bool

    def on_train_epoch_start(self) -> None:
        if self.in_each or not self.current_epoch:
            self.act(self)


def _initialised(*, in_each: bool) -> Program:
    train, validation = digits()
    module = _EachEpoch(mlp(64, 10), optimizer=adam(1e-3))
    module.act, module.in_each = _drawn_afresh, in_each
    return Program(module=module, train=train, validation=validation, epochs=6)


def weights_drawn_afresh_for_each_epoch() -> Program:
    return _initialised(in_each=True)


def weights_drawn_once() -> Program:
    return _initialised(in_each=False)


def _restored(*, in_each: bool) -> Program:
    data = table("wine")
    module = _EachEpoch(mlp(13, 3), optimizer=adam(3e-3))
    begins_with = deepcopy(module.state_dict())
    module.act, module.in_each = lambda each: each.load_state_dict(begins_with), in_each
    return Program(module=module, train=data.train, validation=data.validation, epochs=20)


def checkpoint_loaded_for_each_epoch() -> Program:
    return _restored(in_each=True)


def checkpoint_loaded_once() -> Program:
    return _restored(in_each=False)


FAULTS = (
    Fault(make=weights_drawn_afresh_for_each_epoch, fixed=weights_drawn_once, code="NNG514", before=150),
    Fault(make=checkpoint_loaded_for_each_epoch, fixed=checkpoint_loaded_once, code="NNG514", before=150),
)
