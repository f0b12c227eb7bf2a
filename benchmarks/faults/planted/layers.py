"""Faults in and between layers: parameters that nobody knows, softmax over the wrong dimension, norms, dropout, initialisation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import digits, table
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Loss, Program, Task

Batch = tuple[Tensor, Tensor]


def _on_digits(net: nn.Module, loss: Loss = F.cross_entropy, *, batch_size: int = 64, images: bool = False) -> Program:
    train, validation = digits(batch_size, images=images)
    return Program(module=Task(net, loss), train=train, validation=validation, epochs=2)


# -- NNG201


class _Stack(nn.Module):
    def __init__(self, *, registered: bool) -> None:
        super().__init__()
        layers = [nn.Linear(64, 64) for _ in range(3)]
        self.layers = nn.ModuleList(layers) if registered else layers
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.head(x)  # type: ignore[no-any-return]


def layers_in_a_list() -> Program:
    return _on_digits(_Stack(registered=False))


def layers_in_a_module_list() -> Program:
    return _on_digits(_Stack(registered=True))


class _Projected(nn.Module):
    def __init__(self, *, once: bool) -> None:
        super().__init__()
        self.project = nn.Linear(64, 64) if once else None
        self.head = mlp(64, 10, depth=1)

    def forward(self, x: Tensor) -> Tensor:
        project = self.project or nn.Linear(x.shape[1], 64)
        return self.head(F.relu(project(x)))  # type: ignore[no-any-return]


def layer_made_in_the_forward() -> Program:
    return _on_digits(_Projected(once=False))


def layer_made_once() -> Program:
    return _on_digits(_Projected(once=True))


# -- NNG211


class _LogProbabilities(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net, self.dim = mlp(64, 10), dim

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.net(x), dim=self.dim)


def log_softmax_over_the_batch() -> Program:
    return _on_digits(_LogProbabilities(0), F.nll_loss)


def log_softmax_over_the_classes() -> Program:
    return _on_digits(_LogProbabilities(1), F.nll_loss)


class _Probability(nn.Module):
    def __init__(self, *, softmax: bool) -> None:
        super().__init__()
        self.net, self.softmax = mlp(30, 1), softmax

    def forward(self, x: Tensor) -> Tensor:
        logit = self.net(x)
        return F.softmax(logit, dim=1) if self.softmax else torch.sigmoid(logit)


def _with_probability(*, softmax: bool) -> Program:
    train, validation = table("breast_cancer")
    module = Task(_Probability(softmax=softmax), lambda p, y: F.binary_cross_entropy(p[:, 0], y.float()))
    return Program(module=module, train=train, validation=validation, epochs=3)


def softmax_over_one_output() -> Program:
    return _with_probability(softmax=True)


def sigmoid_of_one_output() -> Program:
    return _with_probability(softmax=False)


# -- NNG214


def _two_layers(*between: nn.Module) -> Program:
    return _on_digits(nn.Sequential(nn.Linear(64, 128), *between, nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)))


def layers_without_activation_between() -> Program:
    return _two_layers()


def layers_with_activation_between() -> Program:
    return _two_layers(nn.ReLU())


# -- NNG215 and NNG216


def _with_batch_norm(*layers: nn.Module) -> Program:
    return _on_digits(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), *layers, nn.ReLU(), nn.Linear(64, 10)))


def dropout_before_batch_norm() -> Program:
    return _with_batch_norm(nn.Dropout(0.5), nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64))


def dropout_behind_batch_norm() -> Program:
    return _with_batch_norm(nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.Dropout(0.5))


def bias_before_batch_norm() -> Program:
    return _with_batch_norm(nn.Linear(64, 64), nn.BatchNorm1d(64))


def no_bias_before_batch_norm() -> Program:
    return _with_batch_norm(nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64))


# -- NNG217


def _with_dropout(rate: float) -> Program:
    return _on_digits(nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(rate), nn.Linear(128, 10)))


def rate_meant_as_the_share_to_keep() -> Program:
    return _with_dropout(0.9)


def rate_of_what_is_dropped() -> Program:
    return _with_dropout(0.1)


# -- NNG218


def _initialised(init: Any) -> Program:
    net = mlp(64, 10, depth=5)
    for layer in net[::2]:
        init(layer.weight)
        nn.init.zeros_(layer.bias)
    return _on_digits(net)


def weights_too_small_for_the_depth() -> Program:
    return _initialised(lambda weight: nn.init.normal_(weight, std=0.03))


def weights_after_he() -> Program:
    return _initialised(lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"))


# -- NNG220


def _in_pairs(norm: nn.Module) -> Program:
    return _on_digits(nn.Sequential(nn.Linear(64, 64, bias=False), norm, nn.ReLU(), nn.Linear(64, 10)), batch_size=2)


def batch_norm_over_two_samples() -> Program:
    return _in_pairs(nn.BatchNorm1d(64))


def group_norm_of_two_samples() -> Program:
    return _in_pairs(nn.GroupNorm(8, 64))


# -- NNG229


class _OneLogit(Task):
    def __init__(self, *, argmax: bool) -> None:
        super().__init__(mlp(30, 1))
        self.argmax = argmax

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        logits = self(x)
        predicted = logits.argmax(1) if self.argmax else (logits[:, 0] > 0).long()
        self.log("accuracy", (predicted == y).float().mean(), batch_size=len(x))
        return F.binary_cross_entropy_with_logits(logits[:, 0], y.float())


def _with_accuracy(*, argmax: bool) -> Program:
    train, validation = table("breast_cancer")
    return Program(module=_OneLogit(argmax=argmax), train=train, validation=validation, epochs=3)


def argmax_of_one_logit() -> Program:
    return _with_accuracy(argmax=True)


def sign_of_one_logit() -> Program:
    return _with_accuracy(argmax=False)


# -- NNG115


class _OfImages(nn.Module):
    def __init__(self, num_channels: int, *, turn: bool) -> None:
        super().__init__()
        self.first, self.head, self.turn = nn.Conv2d(num_channels, 16, 3, padding=1), nn.LazyLinear(10), turn

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2) if self.turn else x
        return self.head(F.relu(self.first(x)).flatten(1))  # type: ignore[no-any-return]


def _with_channels_last(num_channels: int, *, turn: bool) -> Program:
    train, validation = digits(images=True)
    for loader in (train, validation):
        images, labels = loader.dataset.tensors  # type: ignore[attr-defined]
        loader.dataset.tensors = images.permute(0, 2, 3, 1).contiguous(), labels  # type: ignore[attr-defined]
    net = _OfImages(num_channels, turn=turn)
    net(train.dataset[0][0][None])
    return Program(module=Task(net), train=train, validation=validation, epochs=2)


def rows_taken_for_channels() -> Program:
    return _with_channels_last(8, turn=False)


def channels_moved_to_the_front() -> Program:
    return _with_channels_last(1, turn=True)


FAULTS = (
    Fault(
        make=layers_in_a_list, fixed=layers_in_a_module_list, code="NNG201", before=1, where="net.layers[0].weight",
        line="layer(x)",
    ),
    Fault(make=layer_made_in_the_forward, fixed=layer_made_once, code="NNG201", before=1, where="net", line="project(x)"),
    Fault(
        make=log_softmax_over_the_batch, fixed=log_softmax_over_the_classes, code="NNG211", before=1, where="net",
        line="F.log_softmax(self.net(x), dim=self.dim)",
    ),
    Fault(
        make=softmax_over_one_output, fixed=sigmoid_of_one_output, code="NNG211", before=1, where="net",
        line="F.softmax(logit, dim=1)",
    ),
    Fault(
        make=layers_without_activation_between, fixed=layers_with_activation_between, code="NNG214", before=1, where="net.1",
    ),
    Fault(make=dropout_before_batch_norm, fixed=dropout_behind_batch_norm, code="NNG215", before=1, where="net.4"),
    Fault(make=bias_before_batch_norm, fixed=no_bias_before_batch_norm, code="NNG216", before=1, where="net.3"),
    Fault(make=rate_meant_as_the_share_to_keep, fixed=rate_of_what_is_dropped, code="NNG217", before=1, where="net.2"),
    Fault(make=weights_too_small_for_the_depth, fixed=weights_after_he, code="NNG218", before=1, where="net.10"),
    Fault(make=batch_norm_over_two_samples, fixed=group_norm_of_two_samples, code="NNG220", before=1, where="net.1"),
    Fault(make=argmax_of_one_logit, fixed=sign_of_one_logit, code="NNG229", before=1, line="logits.argmax(1)"),
    Fault(
        make=rows_taken_for_channels, fixed=channels_moved_to_the_front, code="NNG115", before=1, where="net.first",
        line="self.first(x)",
    ),
)  # fmt: skip
