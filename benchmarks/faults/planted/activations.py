"""Faults that inputs and activations show: NaN, dead and saturated units, signals that vanish, explode or overflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from benchmarks.faults.data import digits, loaders
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Program, Task, sgd


def _on_digits(net: nn.Module, *, epochs: int, batch_size: int = 64, images: bool = False, **changes: Any) -> Program:
    train, validation = digits(batch_size, images=images)
    return Program(module=Task(net, **changes), train=train, validation=validation, epochs=epochs)


def _initialise(net: nn.Sequential, std: float | None = None) -> None:
    """Draw the weights of linear layers with one standard deviation; None stands for Glorot's."""
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight) if std is None else nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)


# -- NNG101


def _with_pixel(value: float) -> Program:
    train, validation = digits()
    train.dataset.tensors[0][700, 3] = value  # type: ignore[attr-defined]
    return Program(module=Task(mlp(64, 10)), train=train, validation=validation, epochs=2)


def nan_in_one_sample() -> Program:
    return _with_pixel(torch.nan)


def numbers_in_all_samples() -> Program:
    return _with_pixel(0.0)


# -- NNG301


class _Functional(nn.Module):
    def __init__(self, cut: Callable[[Tensor], Tensor], bias: float = 0.0) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(64, 64), nn.Linear(64, 10)
        self.cut = cut
        nn.init.constant_(self.first.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cut(self.first(x)))  # type: ignore[no-any-return]


def relu_dead_from_its_bias() -> Program:
    return _on_digits(_Functional(F.relu, bias=-9.0), epochs=30, batch_size=256)


def relu_with_a_bias_of_zero() -> Program:
    return _on_digits(_Functional(F.relu), epochs=30, batch_size=256)


def clamp_dead_from_its_bias() -> Program:
    return _on_digits(_Functional(lambda x: x.clamp_min(0), bias=-9.0), epochs=30, batch_size=256)


def clamp_with_a_bias_of_zero() -> Program:
    return _on_digits(_Functional(lambda x: x.clamp_min(0)), epochs=30, batch_size=256)


def relus_killed_by_the_learning_rate() -> Program:
    return _on_digits(mlp(64, 10, depth=2), epochs=40, batch_size=256, optimizer=sgd(5.0))


def relus_at_a_usual_learning_rate() -> Program:
    return _on_digits(mlp(64, 10, depth=2), epochs=40, batch_size=256, optimizer=sgd(0.1))


def _filters(bias: float) -> Program:
    net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    nn.init.constant_(net[2].bias, bias)
    return _on_digits(net, epochs=30, batch_size=256, images=True)


def dead_filters() -> Program:
    return _filters(-9.0)


def filters_with_a_bias_of_zero() -> Program:
    return _filters(0.0)


# -- NNG302


def _threshold(*, scaled: bool) -> Program:
    x = 300 * torch.randn(2000, 10) + 1000
    y = (x[:, 0] > 1000).long()
    train, validation = loaders((x - 1000) / 300 if scaled else x, y)
    net = mlp(10, 2, nn.Sigmoid, width=32, depth=2)
    return Program(module=Task(net, optimizer=sgd(0.1, momentum=0.9)), train=train, validation=validation, epochs=16)


def saturated_by_unscaled_inputs() -> Program:
    return _threshold(scaled=False)


def sigmoids_of_standardised_inputs() -> Program:
    return _threshold(scaled=True)


def _hyperbolic(bias: float) -> Program:
    net = mlp(64, 10, nn.Tanh)
    for layer in net[:-1]:
        if isinstance(layer, nn.Linear):
            nn.init.constant_(layer.bias, bias)
    return _on_digits(net, epochs=12, optimizer=sgd(0.1))


def saturated_by_initialisation() -> Program:
    return _hyperbolic(5.0)


def initialised_around_zero() -> Program:
    return _hyperbolic(0.0)


# -- NNG303


def logarithm_of_zero() -> Program:
    return _on_digits(_Functional(lambda x: torch.log(F.relu(x))), epochs=1)


def logarithm_of_more_than_one() -> Program:
    return _on_digits(_Functional(lambda x: torch.log1p(F.relu(x))), epochs=1)


class _Standardise(nn.Module):
    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + self.least)


def _standardised(least: float) -> Program:
    train, validation = digits()
    train.dataset.tensors[0][900] = 0.0  # type: ignore[attr-defined]
    net = nn.Sequential(_Standardise(least), nn.Linear(64, 10))
    return Program(module=Task(net), train=train, validation=validation, epochs=2)


def division_by_zero_in_a_rare_sample() -> Program:
    return _standardised(0.0)


def division_by_more_than_zero() -> Program:
    return _standardised(1e-5)


# -- NNG304, NNG305, NNG307


def _deep(std: float | None) -> Program:
    net = mlp(64, 10, nn.Tanh, depth=8)
    _initialise(net, std)
    return _on_digits(net, epochs=5, optimizer=sgd(1e-2))


def activations_that_vanish() -> Program:
    return _deep(0.005)


def activations_that_keep_their_scale() -> Program:
    return _deep(None)


class _Growing(Task):
    """A scale that grows without end, behind a normalisation that hides it."""

    def __init__(self, factor: float, std: float | None = None) -> None:
        net = nn.Linear(64, 64)
        super().__init__(net)
        self.head = nn.Linear(64, 10)
        self.factor = factor
        if std is not None:
            nn.init.normal_(net.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.layer_norm(super().forward(x), (64,)))  # type: ignore[no-any-return]

    def on_train_batch_end(self, *args: object) -> None:
        with torch.no_grad():
            self.net.weight.mul_(self.factor)  # type: ignore[union-attr, operator]


def _growing(task: Task, *, epochs: int, **trainer: Any) -> Program:
    train, validation = digits()
    return Program(module=task, train=train, validation=validation, epochs=epochs, trainer=trainer)


def activations_that_explode() -> Program:
    return _growing(_Growing(1.2), epochs=4)


def activations_that_do_not_grow() -> Program:
    return _growing(_Growing(1.0), epochs=4)


def _in_half_precision(std: float) -> Program:
    scaler = MixedPrecision("16-mixed", device="cpu", scaler=torch.amp.GradScaler("cpu"))
    return _growing(_Growing(1.0, std), epochs=3, plugins=[scaler])


def next_to_float16_overflow() -> Program:
    return _in_half_precision(1200)


def far_from_float16_overflow() -> Program:
    return _in_half_precision(0.1)


FAULTS = (
    Fault(make=nan_in_one_sample, fixed=numbers_in_all_samples, code="NNG101", before=23, where="batch[0]"),
    Fault(
        make=relu_dead_from_its_bias, fixed=relu_with_a_bias_of_zero, code="NNG301", before=150, where="net.relu()",
        line="activations.py", others=("NNG405",),
    ),
    Fault(
        make=clamp_dead_from_its_bias, fixed=clamp_with_a_bias_of_zero, code="NNG301", before=150, where="net.clamp_min()",
        line="activations.py", others=("NNG405",),
    ),
    Fault(
        make=relus_killed_by_the_learning_rate, fixed=relus_at_a_usual_learning_rate, code="NNG301", before=200,
        others=("NNG704",), stratum="hyper-parameter",
    ),
    Fault(
        make=dead_filters, fixed=filters_with_a_bias_of_zero, code="NNG301", before=150, where="net.3", others=("NNG405",)
    ),
    Fault(
        make=saturated_by_unscaled_inputs, fixed=sigmoids_of_standardised_inputs, code="NNG302", before=100, where="net.1",
        others=("NNG102",), stratum="data-dimension",
    ),
    Fault(make=saturated_by_initialisation, fixed=initialised_around_zero, code="NNG302", before=200),
    Fault(make=logarithm_of_zero, fixed=logarithm_of_more_than_one, code="NNG303", before=1, where="net", line="activations.py"),
    Fault(
        make=division_by_zero_in_a_rare_sample, fixed=division_by_more_than_zero, code="NNG303", before=46, where="net.0",
        line="activations.py", stratum="data-dimension",
    ),
    Fault(make=activations_that_vanish, fixed=activations_that_keep_their_scale, code="NNG304", before=40),
    Fault(make=activations_that_explode, fixed=activations_that_do_not_grow, code="NNG305", before=92, where="net"),
    Fault(make=next_to_float16_overflow, fixed=far_from_float16_overflow, code="NNG307", before=69, where="net"),
)  # fmt: skip
