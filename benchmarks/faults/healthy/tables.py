"""Healthy programs on tables: regression, missing values, categories, satisfied and noisy losses, batches of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from benchmarks.faults.data import digits, loaders, table
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Program, Task, adam, sgd

Batch = tuple[Tensor, Tensor]


def regression_with_raw_targets() -> Program:
    """The loss starts six times above chance, because the targets' mean is far from zero."""
    train, validation = table("diabetes", scale_targets=False)
    module = Task(mlp(10, 1, width=32, depth=2), F.mse_loss, adam(1e-2))
    return Program(module=module, train=train, validation=validation, epochs=40)


def absolute_error_with_raw_targets() -> Program:
    train, validation = table("diabetes", scale_targets=False)
    module = Task(mlp(10, 1, width=32, depth=2), F.l1_loss, adam(1e-2))
    return Program(module=module, train=train, validation=validation, epochs=40)


def regression_without_noise() -> Program:
    """The loss reaches zero, and then no update exceeds what float32 resolves."""
    x = torch.randn(512, 4)
    train, validation = loaders(x, x @ torch.randn(4, 1), batch_size=32)
    return Program(module=Task(nn.Linear(4, 1), F.mse_loss, sgd(0.1)), train=train, validation=validation, epochs=50)


def regression_of_mostly_noise() -> Program:
    x = torch.randn(2000, 5)
    train, validation = loaders(x, 0.5 * x[:, :1] + 1.5 * torch.randn(2000, 1), batch_size=4)
    module = Task(mlp(5, 1, width=16, depth=1), F.mse_loss, adam(1e-3))
    return Program(module=module, train=train, validation=validation, epochs=3)


def heavy_tailed_targets() -> Program:
    x = torch.randn(2000, 5)
    train, validation = loaders(x, x[:, :1] + torch.distributions.StudentT(2.0).sample((2000, 1)), batch_size=32)
    module = Task(mlp(5, 1, width=16, depth=1), F.mse_loss, adam(1e-3))
    return Program(module=module, train=train, validation=validation, epochs=20)


def batches_of_one() -> Program:
    train, validation = table("wine", 1)
    module = Task(mlp(13, 3, width=32, depth=2), optimizer=sgd(1e-2))
    return Program(module=module, train=train, validation=validation, epochs=6)


def satisfied_hinge() -> Program:
    train, validation = table("wine", 16)
    module = Task(mlp(13, 3, depth=2), F.multi_margin_loss, sgd(0.05, momentum=0.9))
    return Program(module=module, train=train, validation=validation, epochs=60)


def rare_class() -> Program:
    x = torch.randn(3000, 10)
    train, validation = loaders(x, (x[:, 0] + x[:, 1] > 2.6).long())
    return Program(module=Task(mlp(10, 2)), train=train, validation=validation, epochs=10)


class _Bits(Task):
    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return F.binary_cross_entropy_with_logits(self(x), torch.stack([y >> k & 1 for k in range(4)], 1).float())


def several_labels() -> Program:
    train, validation = digits()
    return Program(module=_Bits(mlp(64, 4)), train=train, validation=validation, epochs=20)


class _TwoTasks(Task):
    def __init__(self) -> None:
        super().__init__(mlp(64, 64, depth=1))
        self.kind, self.odd = nn.Linear(64, 10), nn.Linear(64, 1)

    def loss(self, batch: Batch) -> Tensor:
        h = F.relu(self(batch[0]))
        odd = F.binary_cross_entropy_with_logits(self.odd(h)[:, 0], (batch[1] % 2).float())
        return F.cross_entropy(self.kind(h), batch[1], label_smoothing=0.1, weight=torch.linspace(0.5, 2, 10)) + 0.5 * odd


def two_tasks_label_smoothing_and_class_weights() -> Program:
    train, validation = digits()
    return Program(module=_TwoTasks(), train=train, validation=validation, epochs=15)


class _MissingTargets(Task):
    def loss(self, batch: Batch) -> Tensor:
        known = ~batch[1].isnan()
        return (self(batch[0])[known] - batch[1][known]).square().mean()


def missing_targets() -> Program:
    x = torch.randn(1500, 6)
    y = torch.cat([2 * x[:, :1], x[:, 1:2].square()], 1) + 0.1 * torch.randn(1500, 2)
    y[torch.rand(y.shape) < 0.3] = torch.nan
    train, validation = loaders(x, y)
    return Program(module=_MissingTargets(mlp(6, 2)), train=train, validation=validation, epochs=15)


class _Log(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x)


class _MissingInputs(Task):
    """Replaces missing values, and masks a logarithm that is NaN for some."""

    def __init__(self) -> None:
        super().__init__(mlp(12, 2))
        self.log_of = _Log()

    def forward(self, x: Tensor) -> Tensor:
        known = x.nan_to_num()
        return super().forward(torch.cat([known, torch.where(known > 0.01, self.log_of(known), 0.0)], 1))


def missing_inputs() -> Program:
    x = torch.randn(1500, 6)
    y = (x[:, 0] > x[:, 1]).long()
    train, validation = loaders(x.masked_fill(torch.rand(x.shape) < 0.1, torch.nan), y)
    return Program(module=_MissingInputs(), train=train, validation=validation, epochs=12)


class _Categories(Task):
    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.BatchNorm1d(20), nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 2)))
        self.embeds = nn.ModuleList(nn.Embedding(50, 8) for _ in range(2))

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        categories, numbers, y = batch
        parts = [embed(categories[:, i]) for i, embed in enumerate(self.embeds)]
        return F.cross_entropy(self(torch.cat([*parts, numbers], 1)), y)


def embedded_categories() -> Program:
    categories, numbers, effect = torch.randint(0, 50, (2500, 2)), torch.randn(2500, 4), torch.randn(50)
    y = (effect[categories].sum(1) + numbers[:, 0] > 0).long()
    train, validation = loaders(categories, numbers, y)
    return Program(module=_Categories(), train=train, validation=validation, epochs=8)


@dataclass
class _Sample:
    x: Tensor
    y: Tensor
    name: str = "sample"


class _OfSamples(Task):
    def loss(self, batch: _Sample) -> Tensor:
        return F.cross_entropy(self(batch.x), batch.y)

    def training_step(self, batch: _Sample, batch_idx: int) -> Any:
        return {"loss": self.loss(batch), "extra": None}


def _collate(samples: list[tuple[Tensor, Tensor]]) -> _Sample:
    return _Sample(x=torch.stack([x for x, _ in samples]), y=torch.stack([y for _, y in samples]))


def batches_of_a_dataclass() -> Program:
    train, validation = (DataLoader(each.dataset, 64, shuffle=i == 0, collate_fn=_collate) for i, each in enumerate(digits()))
    return Program(module=_OfSamples(mlp(64, 10)), train=train, validation=validation, epochs=8)


class _Point(NamedTuple):
    x: Tensor
    y: Tensor


class _Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[dict[str, object]]:
        for _ in range(200):
            x = torch.randn(32, 8)
            yield {"in": _Point(x, (x[:, 0] > x[:, 1]).long()), "names": ["a"] * 32}


class _OfPoints(Task):
    def loss(self, batch: dict[str, _Point]) -> Tensor:
        return F.cross_entropy(self(batch["in"].x), batch["in"].y)


def stream_of_nested_batches() -> Program:
    return Program(
        module=_OfPoints(mlp(8, 2)), train=DataLoader(_Endless(), None), validation=DataLoader(_Endless(), None), epochs=3
    )


class _TwoLoaders(Task):
    def __init__(self) -> None:
        super().__init__(mlp(64, 10))
        self.other = mlp(13, 3)

    def training_step(self, batch: dict[str, Batch], batch_idx: int) -> Tensor:
        (x, y), (u, v) = batch["digits"], batch["wine"]
        loss = F.cross_entropy(self(x), y) + F.cross_entropy(self.other(u), v)
        self.log("train_loss", loss, on_epoch=True, batch_size=len(x))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", F.cross_entropy((self.other if dataloader_idx else self)(batch[0]), batch[1]))


def several_loaders() -> Program:
    first, second = digits(), table("wine", 16)
    train = CombinedLoader({"digits": first.train, "wine": second.train}, "max_size_cycle")
    return Program(module=_TwoLoaders(), train=train, validation=[first.validation, second.validation], epochs=10)


def eight_samples() -> Program:
    data = DataLoader(TensorDataset(torch.randn(8, 5), torch.tensor([0, 1] * 4)), 8)
    return Program(module=Task(mlp(5, 2, width=16, depth=2), optimizer=adam(3e-3)), train=data, validation=data, epochs=300)


PROGRAMS = (
    regression_with_raw_targets, absolute_error_with_raw_targets, regression_without_noise, regression_of_mostly_noise,
    heavy_tailed_targets, batches_of_one, satisfied_hinge, rare_class, several_labels, two_tasks_label_smoothing_and_class_weights,
    missing_targets, missing_inputs, embedded_categories, batches_of_a_dataclass, stream_of_nested_batches, several_loaders,
    eight_samples,
)  # fmt: skip
