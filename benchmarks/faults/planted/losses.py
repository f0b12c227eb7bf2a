"""Faults that the course of the loss shows: it is not finite, does not fall, rises, or leaves validation behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.faults.data import Loaders, digits, loaders
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Manual, Program, Task, sgd

Batch = tuple[Tensor, Tensor]


def _of(task: Task, *, epochs: int) -> Program:
    return _on(digits(), task, epochs=epochs)


def _on(data: Loaders, task: Task, *, epochs: int) -> Program:
    return Program(module=task, train=data.train, validation=data.validation, epochs=epochs)


def _digits_task() -> Task:
    return Task(mlp(64, 10))


# -- NNG702


class _LogOfLikelihood(Task):
    def __init__(self, *, rounded: bool) -> None:
        super().__init__(mlp(64, 10))
        self.rounded = rounded

    def loss(self, batch: Batch) -> Tensor:
        likelihood = self(batch[0]).softmax(1)[torch.arange(len(batch[0])), batch[1]]
        return -torch.log(likelihood.round() if self.rounded else likelihood + 1e-9).mean()


def logarithm_of_zero_in_the_loss() -> Program:
    return _of(_LogOfLikelihood(rounded=True), epochs=1)


def logarithm_of_likelihoods() -> Program:
    return _of(_LogOfLikelihood(rounded=False), epochs=1)


class _Divided(Manual):
    def __init__(self, divisor: float) -> None:
        super().__init__()
        self.net, self.divisor = mlp(64, 10), divisor

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        if self.global_step >= 25:
            loss = loss / torch.tensor(self.divisor)
        self.step(self.optimizers(), loss)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 1e-3)


def loss_divided_by_zero_in_manual_optimisation() -> Program:
    return Program(module=_Divided(0.0), train=digits().train, epochs=3)


def loss_divided_by_two_in_manual_optimisation() -> Program:
    return Program(module=_Divided(2.0), train=digits().train, epochs=3)


# -- NNG703


class _RandomLabels(Task):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), torch.randint(0, 10, batch[1].shape))


class _OwnLabels(Task):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])


def labels_without_relation_to_inputs() -> Program:
    return _of(_RandomLabels(mlp(64, 10)), epochs=16)


def labels_of_their_inputs() -> Program:
    return _of(_OwnLabels(mlp(64, 10)), epochs=16)


# -- NNG704


def _with_rates(factor: float) -> Program:
    rates: Callable[[Any], LambdaLR] = lambda optimizer: LambdaLR(optimizer, lambda step: 1.0 if step < 220 else factor)  # noqa: E731
    return _of(Task(mlp(64, 10, nn.Tanh), scheduler=rates), epochs=14)


def learning_rate_that_jumps() -> Program:
    return _with_rates(200.0)


def learning_rate_that_falls() -> Program:
    return _with_rates(0.2)


# -- NNG705


class _WrongBatch(Task):
    def __init__(self, step: int) -> None:
        super().__init__(mlp(64, 10))
        self.step = step

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return super().loss((x, (y + 1) % 10 if self.training and self.global_step == self.step else y))


def one_mislabelled_batch() -> Program:
    return _of(_WrongBatch(307), epochs=18)


def no_mislabelled_batch() -> Program:
    return _of(_WrongBatch(-1), epochs=18)


# -- NNG707


def _noisy(num: int) -> Batch:
    x, y = (each[:num].clone() for each in digits().train.dataset.tensors)  # type: ignore[attr-defined]
    wrong = torch.rand(num) < 0.4
    y[wrong] = torch.randint(0, 10, (int(wrong.sum()),))
    return x, y


def memorised_noise() -> Program:
    return _on(loaders(*_noisy(600), batch_size=32), Task(mlp(64, 10, width=256)), epochs=20)


def noise_that_cannot_be_memorised() -> Program:
    return _on(loaders(*_noisy(1200), batch_size=32), Task(nn.Linear(64, 10), optimizer=sgd(0.05, weight_decay=1e-2)), epochs=10)


# -- NNG708


def _line(slope: float) -> Program:
    x = torch.randn(800, 10)
    data = loaders(x, slope * x[:, :1] + torch.randn(800, 1), batch_size=64)
    return _on(data, Task(nn.Linear(10, 1), F.mse_loss, sgd(0.01)), epochs=60)


def line_through_noise() -> Program:
    return _line(0.25)


def line_through_points() -> Program:
    return _line(3.0)


# -- NNG709


def _validated_on(classes: range) -> Program:
    train, validation = digits()
    x, y = validation.dataset.tensors  # type: ignore[attr-defined]
    kept = torch.isin(y, torch.tensor(list(classes)))
    return _on(Loaders(train, DataLoader(TensorDataset(x[kept], y[kept]), 64)), _digits_task(), epochs=8)


def validation_of_easy_classes() -> Program:
    return _validated_on(range(0, 7, 6))


def validation_of_all_classes() -> Program:
    return _validated_on(range(10))


FAULTS = (
    Fault(make=logarithm_of_zero_in_the_loss, fixed=logarithm_of_likelihoods, code="NNG702", before=1, line="losses.py"),
    Fault(
        make=loss_divided_by_zero_in_manual_optimisation, fixed=loss_divided_by_two_in_manual_optimisation, code="NNG702",
        before=26, line="losses.py",
    ),
    Fault(make=labels_without_relation_to_inputs, fixed=labels_of_their_inputs, code="NNG703", before=340),
    Fault(make=learning_rate_that_jumps, fixed=learning_rate_that_falls, code="NNG704", before=310, others=("NNG302",)),
    Fault(make=one_mislabelled_batch, fixed=no_mislabelled_batch, code="NNG705", before=370),
    Fault(make=memorised_noise, fixed=noise_that_cannot_be_memorised, code="NNG707", before=300, where="loss"),
    Fault(make=line_through_noise, fixed=line_through_points, code="NNG708", before=601, where="loss"),
    Fault(
        make=validation_of_easy_classes, fixed=validation_of_all_classes, code="NNG709", before=185, where="loss",
        others=("NNG121",),
    ),
)  # fmt: skip
