"""Faults of labels and their order, and of validation data that were prepared otherwise."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.faults.data import Loaders, loaders, raw
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import ConvNet, mlp
from benchmarks.faults.program import Program, Task, sgd

Batch = tuple[Tensor, Tensor]


def _on(data: Loaders, task: Task, epochs: int = 2) -> Program:
    return Program(module=task, train=data.train, validation=data.validation, epochs=epochs)


def _conv_net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10))


# -- NNG106


def _in_order(name: str, task: Callable[[], Task], *, shuffle: bool) -> Program:
    x, y = raw(name)
    x = (x - x.mean()) / x.std() if name == "digits" else (x - x.mean(0)) / x.std(0)
    num = len(x) // 5
    order = y[num:].argsort(stable=True)
    train = DataLoader(TensorDataset(x[num:][order], y[num:][order]), 16, shuffle=shuffle)
    return _on(Loaders(train, DataLoader(TensorDataset(x[:num], y[:num]), 256)), task())


def _classifier() -> Task:
    return Task(mlp(64, 10), optimizer=sgd(0.01))


def digits_in_the_order_of_their_folders() -> Program:
    return _in_order("digits", _classifier, shuffle=False)


def digits_shuffled() -> Program:
    return _in_order("digits", _classifier, shuffle=True)


class _Binary(Task):
    def __init__(self, num_in: int = 30) -> None:
        super().__init__(mlp(num_in, 1, depth=1))

    def loss(self, batch: Batch) -> Tensor:
        return F.binary_cross_entropy_with_logits(self(batch[0])[:, 0], batch[1].float())


def healthy_after_ill() -> Program:
    return _in_order("breast_cancer", _Binary, shuffle=False)


def healthy_among_ill() -> Program:
    return _in_order("breast_cancer", _Binary, shuffle=True)


# -- NNG107


def _question(answer: Callable[[Tensor], Tensor]) -> Program:
    x, y = raw("digits")
    return _on(loaders((x - x.mean()) / x.std(), answer(y).long()), Task(mlp(64, 2)), epochs=3)


def is_it_a_nine() -> Program:
    return _question(lambda y: y == 9)


def is_it_odd() -> Program:
    return _question(lambda y: y % 2 == 1)


def _condition(answer: Callable[[Tensor], Tensor]) -> Program:
    x, y = raw("digits")
    return _on(loaders((x - x.mean()) / x.std(), answer(y).long()), _Binary(64), epochs=3)


def one_positive_in_ten() -> Program:
    return _condition(lambda y: y == 4)


def half_of_them_positive() -> Program:
    return _condition(lambda y: y < 5)


# -- NNG108


def _labelled(first: int) -> Program:
    x, y = raw("digits")
    return _on(loaders((x - x.mean()) / x.std(), y + first), Task(mlp(64, 10 + first)), epochs=3)


def labels_from_one() -> Program:
    return _labelled(1)


def labels_from_zero() -> Program:
    return _labelled(0)


def _filtered(keep: Callable[[int], bool]) -> Program:
    x, y = raw("digits")
    kept = torch.tensor([keep(label) for label in y.tolist()])
    return _on(loaders(((x - x.mean()) / x.std()).view(-1, 1, 8, 8)[kept], y[kept]), Task(ConvNet()), epochs=3)


def zeros_taken_for_missing() -> Program:
    return _filtered(lambda label: bool(label))


def zeros_taken_for_labels() -> Program:
    return _filtered(lambda label: label is not None)


# -- NNG110


class _Prepared(Task):
    """Brings pixels to a mean of 0 and a deviation of 1, in training or in every step."""

    def __init__(self, *, everywhere: bool) -> None:
        super().__init__(_conv_net())
        self.everywhere = everywhere

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        x = (x - 4.9) / 6.0 if self.training or self.everywhere else x
        return F.cross_entropy(self(x), y)


def _repeated(*, everywhere: bool) -> Program:
    x, y = raw("digits")
    x = x.view(-1, 1, 8, 8)
    train, validation = TensorDataset(x[600:], y[600:]), TensorDataset(x[:600], y[:600])
    data = Loaders(DataLoader(train, 64, shuffle=True), DataLoader(validation, 100))
    return _on(data, _Prepared(everywhere=everywhere), epochs=7)


def scaled_in_training_alone() -> Program:
    return _repeated(everywhere=False)


def scaled_in_every_step() -> Program:
    return _repeated(everywhere=True)


class _RowByRow(Task):
    """Reads an image row by row."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 10))
        self.rnn = nn.LSTM(8, 32, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.rnn(x.view(-1, 8, 8))[0][:, -1])


def _read(factor: float) -> Program:
    x, y = raw("digits")
    train, validation = TensorDataset(x[600:] / 16, y[600:]), TensorDataset(factor * x[:600], y[:600])
    return _on(Loaders(DataLoader(train, 64, shuffle=True), DataLoader(validation, 100)), _RowByRow(), epochs=7)


def validation_rows_as_they_come() -> Program:
    return _read(1.0)


def validation_rows_like_those_of_training() -> Program:
    return _read(1 / 16)


# -- NNG111


def _tumours(*, separately: bool) -> Program:
    x, y = raw("breast_cancer")
    train, validation = x[150:], x[:150]
    other = validation if separately else train
    train, validation = (train - train.mean(0)) / train.std(0), (validation - other.mean(0)) / other.std(0)
    data = Loaders(DataLoader(TensorDataset(train, y[150:]), 32, shuffle=True), DataLoader(TensorDataset(validation, y[:150]), 32))
    return _on(data, Task(mlp(30, 2, depth=1)), epochs=16)


def scaler_fitted_on_each_set() -> Program:
    return _tumours(separately=True)


def scaler_fitted_on_training() -> Program:
    return _tumours(separately=False)


def _scans(*, separately: bool) -> Program:
    x, y = raw("digits")
    x = x.view(-1, 1, 8, 8)
    train, validation = x[400:], x[:400]
    other = validation if separately else train
    train, validation = (train - train.mean()) / train.std(), (validation - other.mean()) / other.std()
    data = Loaders(DataLoader(TensorDataset(train, y[400:]), 64, shuffle=True), DataLoader(TensorDataset(validation, y[:400]), 64))
    return _on(data, Task(_conv_net()), epochs=5)


def images_standardised_set_by_set() -> Program:
    return _scans(separately=True)


def images_standardised_by_training() -> Program:
    return _scans(separately=False)


FAULTS = (
    Fault(make=digits_in_the_order_of_their_folders, fixed=digits_shuffled, code="NNG106", before=40, where="batch[1]"),
    Fault(make=healthy_after_ill, fixed=healthy_among_ill, code="NNG106", before=40, where="batch[1]"),
    Fault(make=is_it_a_nine, fixed=is_it_odd, code="NNG107", before=46, where="batch[1]"),
    Fault(make=one_positive_in_ten, fixed=half_of_them_positive, code="NNG107", before=46, where="batch[1]"),
    Fault(make=zeros_taken_for_missing, fixed=zeros_taken_for_labels, code="NNG108", before=42, where="batch[1]"),
    Fault(make=labels_from_one, fixed=labels_from_zero, code="NNG108", before=46, where="batch[1]"),
    Fault(make=scaled_in_training_alone, fixed=scaled_in_every_step, code="NNG110", before=134, where="net.0"),
    Fault(make=validation_rows_as_they_come, fixed=validation_rows_like_those_of_training, code="NNG110", before=134, where="rnn"),
    Fault(make=images_standardised_set_by_set, fixed=images_standardised_by_training, code="NNG111", before=111, where="net.0"),
    Fault(make=scaler_fitted_on_each_set, fixed=scaler_fitted_on_training, code="NNG111", before=209, where="net.0"),
)  # fmt: skip
