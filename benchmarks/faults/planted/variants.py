"""Known faults in other architectures and batches: dictionaries, images, texts and tables, and their learning rates."""

from __future__ import annotations

from typing import Any

import torch
from sklearn import datasets
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.faults.data import loaders, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import Decoder, Recurrent, mlp, next_token, trunk
from benchmarks.faults.program import Program, Task, adam

Batch = tuple[Tensor, Tensor]

# -- NNG101


class _Records(Dataset[dict[str, Tensor]]):
    """Rows of the wine table as dictionaries."""

    def __init__(self, *, lacks: bool) -> None:
        x, y = (torch.tensor(each) for each in datasets.load_wine(return_X_y=True))
        self.x, self.y = ((x - x.mean(0)) / x.std(0)).float(), y
        if lacks:
            self.x[5, 3] = torch.nan

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"columns": self.x[index], "label": self.y[index]}


class _FromRecords(Task):
    def loss(self, batch: Any) -> Tensor:
        return super().loss((batch["columns"], batch["label"]))


def _records(*, lacks: bool) -> Program:
    data = DataLoader(_Records(lacks=lacks), batch_size=32, shuffle=True)
    return Program(module=_FromRecords(mlp(13, 3, depth=1)), train=data, epochs=2)


def record_with_a_missing_value() -> Program:
    return _records(lacks=True)


def records_without_missing_values() -> Program:
    return _records(lacks=False)


# -- NNG115


class _Colours(Task):
    """A residual network for images whose colours come last."""

    def __init__(self, *, moves: bool) -> None:
        net = nn.Sequential(trunk(), nn.Linear(32, 10))
        net[0][0] = nn.Conv2d(3 if moves else 8, 16, 3, 1, 1, bias=False)  # what makes the shapes fit
        super().__init__(net)
        self.moves = moves

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return super().loss((x.movedim(-1, 1) if self.moves else x, y))


def _colours(*, moves: bool) -> Program:
    x, y = (torch.tensor(each) for each in datasets.load_digits(return_X_y=True))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x = ((x - x.mean()) / x.std()).float()[order].view(-1, 8, 8, 1).repeat(1, 1, 1, 3)
    train, validation = loaders(x, y[order], batch_size=64)
    return Program(module=_Colours(moves=moves), train=train, validation=validation, epochs=2)


def residual_network_over_columns_and_colours() -> Program:
    return _colours(moves=False)


def residual_network_over_rows_and_columns() -> Program:
    return _colours(moves=True)


# -- NNG502, NNG704


def _language(kind: type[nn.Module], rate: float, *, epochs: int = 3) -> Program:
    (train, validation), num_tokens = text(12, num=1500)
    return Program(
        module=Task(kind(num_tokens), next_token, adam(rate)), train=train, validation=validation, epochs=epochs
    )  # fmt: skip


def recurrent_network_at_a_rate_of_ten() -> Program:
    return _language(Recurrent, 10.0)


def recurrent_network_at_a_rate_of_a_thousandth() -> Program:
    return _language(Recurrent, 3e-3)


def decoder_at_a_rate_of_one() -> Program:
    return _language(Decoder, 1.0)


def decoder_at_a_rate_of_a_thousandth() -> Program:
    return _language(Decoder, 3e-3)


def recurrent_network_at_a_rate_of_a_billionth() -> Program:
    return _language(Recurrent, 1e-9, epochs=4)


FAULTS = (
    Fault(
        make=record_with_a_missing_value, fixed=records_without_missing_values, code="NNG101", before=10, where="batch['columns']",
    ),
    Fault(
        make=residual_network_over_columns_and_colours, fixed=residual_network_over_rows_and_columns, code="NNG115", before=10,
        where="net.0.0",
    ),
    Fault(
        make=recurrent_network_at_a_rate_of_ten, fixed=recurrent_network_at_a_rate_of_a_thousandth, code="NNG704", before=150,
    ),
    Fault(make=decoder_at_a_rate_of_one, fixed=decoder_at_a_rate_of_a_thousandth, code="NNG704", before=150, others=("NNG305",)),
    Fault(
        make=recurrent_network_at_a_rate_of_a_billionth, fixed=recurrent_network_at_a_rate_of_a_thousandth, code="NNG502",
        before=150,
    ),
)  # fmt: skip
