"""Steps that may run again on a copy, and those that may not, because somebody would notice."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from lightning_nnguard.probe.reruns import may_run_again

MANY = 1_000_000
LOGGER = logging.getLogger(__name__)


def report(loss: Tensor) -> None:
    print(float(loss))


def double(loss: Tensor) -> Tensor:
    return 2 * loss


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Model(pl.LightningModule):
    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.net = Inner()
        for name, value in attributes.items():
            setattr(self, name, value)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return double(self.loss(batch))

    def loss(self, batch: Any) -> Any:
        return self.net(batch).sum()

    def on_train_epoch_end(self) -> None:
        print("an epoch")  # not in the step


class Prints(Model):
    def loss(self, batch: Any) -> Any:
        print("hello")


class PrintsInAFunction(Model):
    def loss(self, batch: Any) -> Any:
        return report(batch)


class PrintsInAComprehension(Model):
    def loss(self, batch: Any) -> Any:
        return [(lambda: print(each))() for each in batch]


class Logs(Model):
    def loss(self, batch: Any) -> Any:
        LOGGER.info("hello")


class Writes(Model):
    def loss(self, batch: Any) -> Any:
        torch.save(batch, "batch.pt")


class Talking(Inner):
    def forward(self, x: Tensor) -> Tensor:
        print(x.shape)
        return x


class Wrapped(Model):
    @functools.wraps(Model.training_step)
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        print("hello")


class WrappedAgain(Model):
    @torch.no_grad()
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)


class PrintsInAProperty(Model):
    @property
    def scale(self) -> float:
        print("hello")
        return 1.0

    def loss(self, batch: Any) -> Any:
        return batch * self.scale


class PrintsInAStaticMethod(Model):
    @staticmethod
    def helper(batch: Any) -> None:
        print("hello")

    def loss(self, batch: Any) -> Any:
        return self.helper(batch)


class Iterates(Model):
    def training_step(self, dataloader_iter: Any) -> Any:  # type: ignore[override]
        return next(dataloader_iter)


def hooked() -> Model:
    model = Model(seen=[])
    model.net.register_forward_hook(lambda module, args, output: model.seen.append(output))
    return model


def with_method() -> Model:
    model = Model()
    model.step_of = (lambda step: lambda batch: step(batch, 0))(model.training_step)  # type: ignore[assignment]
    return model


def with_default() -> Model:
    model = Model()
    model.helper = lambda batch, net=model.net: net(batch)  # type: ignore[assignment]
    return model


@pytest.mark.parametrize(
    "build",
    [
        Prints, PrintsInAFunction, PrintsInAComprehension, Logs, Writes, lambda: Model(net=Talking()), Wrapped, PrintsInAProperty,
        PrintsInAStaticMethod, Iterates, hooked, with_method,
        with_default, lambda: Model(memory=[(i, i) for i in range(6000)]), lambda: Model(data=np.zeros(MANY)),
        lambda: Model(data=TensorDataset(torch.zeros(MANY))),
    ],
)  # fmt: skip
def test_what_would_be_noticed(build: Callable[[], Model]) -> None:
    assert not may_run_again(build(), MANY)


@pytest.mark.parametrize(
    "build",
    [
        Model, WrappedAgain, lambda: Model(memory=[(i, i) for i in range(3000)]), lambda: Model(data=np.zeros(MANY // 8)),
        lambda: Model(activation=lambda x: 2 * x), lambda: Model(loss_of=functools.partial(double)),
    ],
)  # fmt: skip
def test_what_nobody_notices(build: Callable[[], Model]) -> None:
    assert may_run_again(build(), MANY)


def test_a_cycle_has_an_end() -> None:
    ring: list[Any] = []
    ring.append(ring)
    model = Model(ring=ring)
    model.__dict__["itself"] = model
    assert may_run_again(model, MANY)
