"""Faults of axes and numbers of samples: shapes that fit, and hold something else."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, WeightedRandomSampler

from benchmarks.faults.data import digits, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import Recurrent, mlp
from benchmarks.faults.program import Program, Task, adam

# -- NNG120


def _weighted(weights: Callable[[Tensor], Tensor]) -> Program:
    train, validation = digits()
    labels = train.dataset.tensors[1]  # type: ignore[attr-defined]
    each = weights(labels)
    sampler = WeightedRandomSampler(each.tolist(), len(labels))
    return Program(module=Task(mlp(64, 10)), train=DataLoader(train.dataset, 64, sampler=sampler), validation=validation, epochs=2)


def weights_of_classes() -> Program:
    return _weighted(lambda labels: 1 / labels.bincount())


def weights_of_samples() -> Program:
    return _weighted(lambda labels: (1 / labels.bincount())[labels])


# -- NNG230


class _Rows(nn.Module):
    """Reads a digit row by row."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(8, 32, batch_first=batch_first), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        rows, _ = self.rnn(x.squeeze(1))
        return self.head(rows[:, -1])  # type: ignore[no-any-return]


def _reader(*, batch_first: bool) -> Program:
    train, validation = digits(images=True)
    module = Task(_Rows(batch_first=batch_first), optimizer=adam(5e-3))
    return Program(module=module, train=train, validation=validation, epochs=3)


def rows_in_a_layer_that_takes_time_first() -> Program:
    return _reader(batch_first=False)


def rows_in_a_layer_that_takes_the_batch_first() -> Program:
    return _reader(batch_first=True)


# -- NNG231


def _by_view(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits.view(len(target), -1, target.shape[1]), target)


def _by_transpose(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits.transpose(1, 2), target)


def _language(loss: Callable[[Tensor, Tensor], Tensor]) -> Program:
    data, num_tokens = text(16)
    return Program(module=Task(Recurrent(num_tokens), loss, adam(3e-3)), train=data.train, validation=data.validation, epochs=2)


def classes_viewed_into_place() -> Program:
    return _language(_by_view)


def classes_transposed_into_place() -> Program:
    return _language(_by_transpose)


FAULTS = (
    Fault(make=weights_of_classes, fixed=weights_of_samples, code="NNG120", before=1, where="train_dataloader"),
    Fault(
        make=rows_in_a_layer_that_takes_time_first, fixed=rows_in_a_layer_that_takes_the_batch_first, code="NNG230", before=1,
        where="net.rnn", line="self.rnn(x.squeeze(1))", stratum="data-dimension",
    ),
    Fault(
        make=classes_viewed_into_place, fixed=classes_transposed_into_place, code="NNG231", before=1,
        line="logits.view(len(target), -1, target.shape[1])", stratum="data-dimension",
    ),
)  # fmt: skip
