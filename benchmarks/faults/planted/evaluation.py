"""Faults that make evaluation another thing than training."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import digits
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import ConvNet, mlp
from benchmarks.faults.program import Program, Task


def _on_digits(net: nn.Module, *, epochs: int, images: bool = False) -> Program:
    train, validation = digits(images=images)
    return Program(module=Task(net), train=train, validation=validation, epochs=epochs)


# -- NNG605


class _Noisy(nn.Module):
    """Noise on the inputs, against overfitting.

    Args:
        always: Whether it is there in evaluation, too (a fault).
    """

    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.net, self.always = mlp(64, 10), always

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.always:
            x = x + 0.3 * torch.randn_like(x)
        return self.net(x)  # type: ignore[no-any-return]


def noise_in_evaluation() -> Program:
    return _on_digits(_Noisy(always=True), epochs=2)


def noise_in_training() -> Program:
    return _on_digits(_Noisy(always=False), epochs=2)


class _Masked(nn.Module):
    """Features that are masked at random by hand, and scaled as dropout does."""

    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.first, self.head, self.always = nn.Linear(64, 64), nn.Linear(64, 10), always

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.first(x))
        if self.training or self.always:
            h = h * torch.bernoulli(torch.full_like(h, 0.8)) / 0.8
        return self.head(h)  # type: ignore[no-any-return]


def masks_in_evaluation() -> Program:
    return _on_digits(_Masked(always=True), epochs=2)


def masks_in_training() -> Program:
    return _on_digits(_Masked(always=False), epochs=2)


# -- NNG606


def _with_momentum(momentum: float) -> Program:
    net = ConvNet()
    net.norm1.momentum = net.norm2.momentum = momentum
    return _on_digits(net, epochs=6, images=True)


def momentum_of_a_long_training() -> Program:
    return _with_momentum(3e-4)


def default_momentum() -> Program:
    return _with_momentum(0.1)


class _Resets(Task):
    def __init__(self, *, resets: bool) -> None:
        super().__init__(ConvNet())
        self.resets = resets

    def on_validation_epoch_start(self) -> None:
        for each in self.modules():
            if isinstance(each, nn.BatchNorm2d) and self.resets:
                each.reset_running_stats()


def _resetting(resets: bool) -> Program:
    train, validation = digits(images=True)
    return Program(module=_Resets(resets=resets), train=train, validation=validation, epochs=6)


def statistics_reset_before_validation() -> Program:
    return _resetting(True)


def statistics_kept_for_validation() -> Program:
    return _resetting(False)


# -- NNG607


class _Standardised(nn.Module):
    """Standardises its inputs, which come as 0 to 16.

    Args:
        always: Whether it does so in evaluation, too; without, a fault.
    """

    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.net, self.always = mlp(64, 10), always

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.always:
            x = (x - 4.9) / 6.0
        return self.net(x)  # type: ignore[no-any-return]


def _on_raw_digits(**changes: Any) -> Program:
    train, validation = digits()
    for each in (train, validation):
        each.dataset.tensors[0].mul_(6.0).add_(4.9)  # type: ignore[attr-defined]
    return Program(module=Task(_Standardised(**changes)), train=train, validation=validation, epochs=11)


def standardised_in_training_only() -> Program:
    return _on_raw_digits(always=False)


def standardised_always() -> Program:
    return _on_raw_digits(always=True)


class _Reversed(nn.Module):
    """Reads its features from behind.

    Args:
        always: Whether it does so in evaluation, too; without, a fault.
    """

    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.first, self.head, self.always = nn.Linear(64, 64), nn.Linear(64, 10), always

    def forward(self, x: Tensor) -> Tensor:
        features = F.relu(self.first(x))
        return self.head(features.flip(1) if self.training or self.always else features)  # type: ignore[no-any-return]


def features_reversed_in_training_only() -> Program:
    return _on_digits(_Reversed(always=False), epochs=11)


def features_reversed_always() -> Program:
    return _on_digits(_Reversed(always=True), epochs=11)


FAULTS = (
    Fault(make=noise_in_evaluation, fixed=noise_in_training, code="NNG605", before=1, line="torch.randn_like(x)"),
    Fault(make=masks_in_evaluation, fixed=masks_in_training, code="NNG605", before=1, line="torch.bernoulli("),
    Fault(
        make=momentum_of_a_long_training, fixed=default_momentum, code="NNG606", before=138, where="net.norm2", line="self.norm2("
    ),
    Fault(
        make=statistics_reset_before_validation, fixed=statistics_kept_for_validation, code="NNG606", before=138,
        where="net.norm2", line="self.norm2(",
    ),
    Fault(make=standardised_in_training_only, fixed=standardised_always, code="NNG110", before=70, where="net.net.0"),
    Fault(make=features_reversed_in_training_only, fixed=features_reversed_always, code="NNG607", before=250),
)  # fmt: skip
