"""Faults in the contract between output, loss and target of models of tables."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import Loaders, table
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Loss, Program, Task, adam

Batch = tuple[Tensor, Tensor]


def _on(data: Loaders, net: nn.Module, loss: Loss, epochs: int = 3, rate: float = 1e-3) -> Program:
    return Program(module=Task(net, loss, adam(rate)), train=data.train, validation=data.validation, epochs=epochs)


def _moved(name: str, scale: float, shift: float) -> Loaders:
    """Return a table whose targets are scaled, then shifted."""
    data = table(name)
    for each in data:
        x, y = each.dataset.tensors  # type: ignore[attr-defined]
        each.dataset.tensors = (x, scale * y + shift)  # type: ignore[attr-defined]
    return data


# -- NNG118


def years_as_they_are() -> Program:
    return _on(_moved("diabetes", 10, 1990), mlp(10, 1), F.l1_loss, epochs=6)


def years_around_zero() -> Program:
    return _on(_moved("diabetes", 1, 0), mlp(10, 1), F.l1_loss, epochs=6)


# -- NNG209, NNG208


def _likelihood(out: Tensor, y: Tensor) -> Tensor:
    return F.nll_loss(out, y)


def probabilities_into_the_likelihood() -> Program:
    return _on(table("wine"), nn.Sequential(mlp(13, 3), nn.Softmax(1)), _likelihood)


def log_probabilities_of_a_table() -> Program:
    return _on(table("wine"), nn.Sequential(mlp(13, 3), nn.LogSoftmax(1)), _likelihood)


# -- NNG210


class _Flat(nn.Module):
    def __init__(self, num_in: int) -> None:
        super().__init__()
        self.net = mlp(num_in, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1)  # type: ignore[no-any-return]


def _pinball(prediction: Tensor, y: Tensor) -> Tensor:
    error = y - prediction
    return torch.maximum(0.9 * error, -0.1 * error).mean()


def quantile_of_all_samples() -> Program:
    return _on(table("diabetes"), _Flat(10), _pinball)


def quantile_of_each_sample() -> Program:
    return _on(table("diabetes"), mlp(10, 1), _pinball)


# -- NNG212


def _bits(probability: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(probability[:, 0], y.float())


def _classes(first: int) -> Program:
    return _on(_moved("breast_cancer", 1, first), mlp(30, 1), _bits)


def labels_of_one_and_two() -> Program:
    return _classes(1)


def labels_from_zero() -> Program:
    return _classes(0)


def tanh_for_targets_up_to_ten() -> Program:
    return _on(_moved("diabetes", 4, 0), nn.Sequential(mlp(10, 1), nn.Tanh()), F.mse_loss)


def identity_for_targets_up_to_ten() -> Program:
    return _on(_moved("diabetes", 4, 0), nn.Sequential(mlp(10, 1), nn.Identity()), F.mse_loss)


# -- NNG211


def softmax_over_the_rows_of_a_table() -> Program:
    return _on(table("wine"), nn.Sequential(mlp(13, 3), nn.LogSoftmax(0)), _likelihood)


# -- NNG706


def _negative(prediction: Tensor, y: Tensor) -> Tensor:
    return -F.mse_loss(prediction, y)


def error_with_a_minus() -> Program:
    return _on(table("diabetes"), mlp(10, 1), _negative, epochs=6)


def error_without_a_minus() -> Program:
    return _on(table("diabetes"), mlp(10, 1), F.mse_loss, epochs=6)


FAULTS = (
    Fault(make=years_as_they_are, fixed=years_around_zero, code="NNG118", before=1),
    Fault(make=probabilities_into_the_likelihood, fixed=log_probabilities_of_a_table, code="NNG209", before=1),
    Fault(make=quantile_of_all_samples, fixed=quantile_of_each_sample, code="NNG210", before=1, line="y - prediction"),
    Fault(make=labels_of_one_and_two, fixed=labels_from_zero, code="NNG212", before=1),
    Fault(make=tanh_for_targets_up_to_ten, fixed=identity_for_targets_up_to_ten, code="NNG212", before=1),
    Fault(
        make=softmax_over_the_rows_of_a_table, fixed=log_probabilities_of_a_table, code="NNG211", before=1, stratum="contract"
    ),
    Fault(make=error_with_a_minus, fixed=error_without_a_minus, code="NNG706", before=1),
)  # fmt: skip
