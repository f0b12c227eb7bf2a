"""Faults in the weights of classes, and parts of a model whose turn to learn never comes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn

from benchmarks.faults.data import Loaders, digits, loaders
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Manual, Program, Task, sgd

Batch = tuple[Tensor, Tensor]


def _digits(borders: tuple[int, ...], batch_size: int = 32) -> tuple[Loaders, Tensor]:
    """Return digits sorted into classes of several digits each, and how often each class occurs."""
    x, y = (torch.tensor(each) for each in datasets.load_digits(return_X_y=True))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    x, y = x.float()[order], torch.bucketize(y[order], torch.tensor(borders), right=True)
    return loaders((x - x.mean()) / x.std(), y, batch_size=batch_size), y.bincount().float()


# -- NNG234


class _Balanced(Task):
    """A task whose loss is given the weights of its classes."""

    def __init__(self, num_out: int, weights: Tensor) -> None:
        super().__init__(mlp(64, num_out, depth=1), optimizer=sgd(0.02, momentum=0.9))
        self.register_buffer("weights", weights)
        self.weights: Tensor

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        output = self(x)
        if output.shape[1] > 1:
            return F.cross_entropy(output, y, weight=self.weights)
        return F.binary_cross_entropy_with_logits(output.squeeze(1), y.float(), pos_weight=self.weights)


def _rare_positives(power: int) -> Program:
    data, (negatives, positives) = _digits((8,))
    module = _Balanced(1, (negatives / positives) ** power)
    return Program(module=module, train=data.train, validation=data.validation, epochs=5)


def positives_for_each_negative() -> Program:
    return _rare_positives(-1)


def negatives_for_each_positive() -> Program:
    return _rare_positives(1)


def _three_sizes(power: int) -> Program:
    data, counts = _digits((6, 9))
    shares = (counts / counts.sum()) ** power
    module = _Balanced(3, shares / shares.mean())
    return Program(module=module, train=data.train, validation=data.validation, epochs=5)


def classes_weighted_by_their_frequency() -> Program:
    return _three_sizes(1)


def classes_weighted_against_their_frequency() -> Program:
    return _three_sizes(-1)


# -- NNG227 of one optimizer of several


class _InTwoParts(Manual):
    """A body and a head, each with an optimizer of its own.

    Args:
        net: Both of them, the head last.
        body: What is called with the optimizer of the body: "clear" before the backward pass, "step" after it.
        head: The same of the head.
    """

    def __init__(self, net: nn.Sequential, body: str, head: str) -> None:
        super().__init__()
        self.net, self.calls = net, (body.split(), head.split())

    def configure_optimizers(self) -> Any:
        body, head = self.net[:-1].parameters(), self.net[-1].parameters()
        return torch.optim.SGD(body, 0.05, momentum=0.9), torch.optim.Adam(head, 3e-3)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        turns = list(zip(self.optimizers(), self.calls, strict=True))
        for optimizer, calls in turns:
            if "clear" in calls:
                optimizer.zero_grad()
        self.manual_backward(F.cross_entropy(self.net(x), y))
        for optimizer, calls in turns:
            if "step" in calls:
                optimizer.step()


def _in_two_parts(body: str, head: str) -> Program:
    data = digits(32)
    return Program(module=_InTwoParts(mlp(64, 10, nn.Tanh, depth=2), body, head), train=data.train, epochs=8)


def body_that_is_only_cleared() -> Program:
    return _in_two_parts("clear", "clear step")


def body_that_is_cleared_and_steps() -> Program:
    return _in_two_parts("clear step", "clear step")


def head_that_is_forgotten() -> Program:
    return _in_two_parts("clear step", "")


FAULTS = (
    Fault(
        make=positives_for_each_negative, fixed=negatives_for_each_positive, code="NNG234", before=200,
        where="_Balanced.binary_cross_entropy_with_logits()", line="pos_weight=",
    ),
    Fault(
        make=classes_weighted_by_their_frequency, fixed=classes_weighted_against_their_frequency, code="NNG234", before=200,
        where="_Balanced.cross_entropy()", line="weight=self.weights",
    ),
    Fault(
        make=body_that_is_only_cleared, fixed=body_that_is_cleared_and_steps, code="NNG227", before=120, where="optimizers[0]",
    ),
    Fault(make=head_that_is_forgotten, fixed=body_that_is_cleared_and_steps, code="NNG227", before=160, where="optimizers[1]"),
)  # fmt: skip
