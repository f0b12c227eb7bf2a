"""Faults that gradients and updates show: they are not finite, vanish, explode, stay zero, are too large or too small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults.data import digits
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import MakeOptimizer, Program, Task, adam, sgd

Batch = tuple[Tensor, Tensor]


def _of(task: Task, *, epochs: int) -> Program:
    train, validation = digits()
    return Program(module=task, train=train, validation=validation, epochs=epochs)


# -- NNG401


class _Root(nn.Module):
    """The root of a square is fine at zero; its derivative is 0 / 0."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.first, self.head, self.least = nn.Linear(64, 32), nn.Linear(32, 10), least

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x) * (x[:, :1] > 0)
        return self.head((h.square() + self.least).sqrt())  # type: ignore[no-any-return]


def root_of_zero_in_backward() -> Program:
    return _of(Task(_Root(0.0)), epochs=1)


def root_of_more_than_zero_in_backward() -> Program:
    return _of(Task(_Root(1e-6)), epochs=1)


# -- NNG402, NNG403


def deep_sigmoids() -> Program:
    return _of(Task(mlp(64, 10, nn.Sigmoid, depth=8), optimizer=sgd(0.1)), epochs=5)


def deep_rectifiers_with_batch_norm() -> Program:
    return _of(Task(mlp(64, 10, nn.ReLU, depth=8, norm=nn.BatchNorm1d), optimizer=sgd(0.1)), epochs=5)


class _Scaled(Task):
    """The loss is multiplied from step 250 on."""

    def __init__(self, factor: float) -> None:
        super().__init__(mlp(64, 10, nn.Tanh), optimizer=adam(1e-4))
        self.factor = factor

    def loss(self, batch: Batch) -> Tensor:
        loss = super().loss(batch)
        return loss * self.factor if self.training and self.global_step >= 250 else loss


def gradients_that_explode() -> Program:
    return _of(_Scaled(1000.0), epochs=30)


def gradients_that_keep_their_size() -> Program:
    return _of(_Scaled(1.0), epochs=30)


# -- NNG405


class _Branches(nn.Module):
    def __init__(self, share: float) -> None:
        super().__init__()
        self.used, self.ignored, self.share = mlp(64, 10), nn.Linear(64, 10), share

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x) + self.share * self.ignored(x)  # type: ignore[no-any-return]


def branch_times_zero() -> Program:
    return _of(Task(_Branches(0.0)), epochs=5)


def branch_times_one() -> Program:
    return _of(Task(_Branches(1.0)), epochs=5)


class _Features(nn.Module):
    def __init__(self, cut: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.head, self.cut = nn.Linear(64, 64), nn.Linear(64, 10), cut

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cut(self.first(x)))  # type: ignore[no-any-return]


def rounded_features() -> Program:
    return _of(Task(_Features(torch.round)), epochs=5)


def rounded_features_with_a_straight_gradient() -> Program:
    return _of(Task(_Features(lambda x: x + (x.round() - x).detach())), epochs=5)


# -- NNG501, NNG502


class _Clamped(Task):
    def __init__(self, bound: float) -> None:
        super().__init__(mlp(64, 10, nn.Tanh), optimizer=lambda parameters: torch.optim.RMSprop(parameters, 5e-3))
        self.bound = bound

    def on_train_batch_end(self, *args: object) -> None:
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.clamp_(-self.bound, self.bound)


def updates_too_large_for_clamped_weights() -> Program:
    return _of(_Clamped(0.02), epochs=5)


def updates_that_suit_the_weights() -> Program:
    return _of(_Clamped(1.0), epochs=5)


def _with(optimizer: MakeOptimizer) -> Program:
    return _of(Task(mlp(64, 10), optimizer=optimizer), epochs=5)


def learning_rate_of_a_billionth() -> Program:
    return _with(adam(1e-9))


def learning_rate_of_a_thousandth() -> Program:
    return _with(adam(1e-3))


def sgd_with_a_rate_for_adam() -> Program:
    return _with(sgd(1e-6))


def sgd_with_a_rate_for_sgd() -> Program:
    return _with(sgd(0.1))


# -- NNG203, NNG205


class _HeadOnly(Task):
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net[-1].parameters(), 1e-3)  # type: ignore[index]


def trunk_in_no_optimizer() -> Program:
    return _of(_HeadOnly(mlp(64, 10)), epochs=3)


def trunk_in_the_optimizer() -> Program:
    return _of(Task(mlp(64, 10)), epochs=3)


class _Replaced(Task):
    """A head is replaced: for the cure before the optimizer is made, for the fault after."""

    def __init__(self, *, late: bool) -> None:
        super().__init__(mlp(64, 10))
        self.late = late

    def _replace(self) -> None:
        self.net[-1] = nn.Linear(64, 10)  # type: ignore[index, operator]

    def configure_optimizers(self) -> Any:
        if not self.late:
            self._replace()
        return super().configure_optimizers()

    def on_train_start(self) -> None:
        if self.late:
            self._replace()


def head_replaced_after_the_optimizer_was_made() -> Program:
    return _of(_Replaced(late=True), epochs=3)


def head_replaced_before_the_optimizer_was_made() -> Program:
    return _of(_Replaced(late=False), epochs=3)


FAULTS = (
    Fault(
        make=root_of_zero_in_backward, fixed=root_of_more_than_zero_in_backward, code="NNG401", before=1, where="net.first.bias"
    ),
    Fault(make=deep_sigmoids, fixed=deep_rectifiers_with_batch_norm, code="NNG402", before=80, where="net.0.weight"),
    Fault(make=gradients_that_explode, fixed=gradients_that_keep_their_size, code="NNG403", before=450),
    Fault(make=branch_times_zero, fixed=branch_times_one, code="NNG405", before=80, where="net.ignored.weight"),
    Fault(
        make=rounded_features, fixed=rounded_features_with_a_straight_gradient, code="NNG405", before=80,
        where="net.first.weight",
    ),
    Fault(make=updates_too_large_for_clamped_weights, fixed=updates_that_suit_the_weights, code="NNG501", before=100),
    Fault(make=learning_rate_of_a_billionth, fixed=learning_rate_of_a_thousandth, code="NNG502", before=100),
    Fault(make=sgd_with_a_rate_for_adam, fixed=sgd_with_a_rate_for_sgd, code="NNG502", before=100),
    Fault(make=trunk_in_no_optimizer, fixed=trunk_in_the_optimizer, code="NNG203", before=20, where="net.0.weight"),
    Fault(
        make=head_replaced_after_the_optimizer_was_made, fixed=head_replaced_before_the_optimizer_was_made, code="NNG205",
        before=20, where="optimizers[0]",
    ),
)  # fmt: skip
