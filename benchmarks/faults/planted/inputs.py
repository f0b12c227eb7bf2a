"""Faults of what the network is given: scales, constants, padding."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.faults.data import Loaders, loaders, raw, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import ConvNet, Recurrent, mlp
from benchmarks.faults.program import Program, Task, adam

Batch = tuple[Tensor, Tensor]


def _on(data: Loaders, task: Task, epochs: int = 2) -> Program:
    return Program(module=task, train=data.train, validation=data.validation, epochs=epochs)


def _images(scale: float) -> Loaders:
    """Return the digits with pixels from 0 to 16 x scale."""
    x, y = raw("digits")
    return loaders(scale * x.view(-1, 1, 8, 8), y)


def _conv_net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10))


# -- NNG102


def _bytes(factor: float) -> Program:
    return _on(_images(factor), Task(_conv_net(), optimizer=adam(1e-3)))


def pixels_as_bytes() -> Program:
    return _bytes(255 / 16)


def pixels_from_zero_to_one() -> Program:
    return _bytes(1 / 16)


def _wine(*, scaled: bool) -> Program:
    x, y = raw("wine")
    x = (x - x.mean(0)) / x.std(0) if scaled else x
    return _on(loaders(x, y, batch_size=32), Task(mlp(13, 3, depth=1)), epochs=10)


def table_in_its_own_units() -> Program:
    return _wine(scaled=False)


def table_in_standard_deviations() -> Program:
    return _wine(scaled=True)


def _temperatures(mean: float, std: float) -> Program:
    """Temperatures every other hour of a day; a recurrent network tells whether they rise once or twice."""
    generator = torch.Generator().manual_seed(0)
    phase, y = torch.rand(800, 1, generator=generator), torch.randint(0, 2, (800,), generator=generator)
    x = torch.sin(torch.linspace(0, 6, 12) * (1 + y[:, None]) + phase)
    return _on(loaders((std * x + mean)[:, :, None], y), _Recurrent(), epochs=3)


class _Recurrent(Task):
    def __init__(self) -> None:
        super().__init__(nn.Linear(16, 2))
        self.rnn = nn.GRU(1, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.rnn(x)[0][:, -1])


def temperatures_in_kelvin() -> Program:
    return _temperatures(290.0, 8.0)


def temperatures_from_their_mean() -> Program:
    return _temperatures(0.0, 1.0)


# -- NNG103


def images_divided_twice() -> Program:
    return _bytes(1 / 16 / 255)


def _normalised(factor: float) -> Program:
    return _on(_images(factor), Task(ConvNet()))


def images_divided_twice_before_batch_norm() -> Program:
    return _normalised(1 / 16 / 255)


def images_divided_once_before_batch_norm() -> Program:
    return _normalised(1 / 16)


# -- NNG104


class _Divided(Task):
    def __init__(self, divide: Callable[[Tensor], Tensor]) -> None:
        super().__init__(_conv_net())
        self.divide = divide

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.divide(x))


def _on_bytes(divide: Callable[[Tensor], Tensor]) -> Program:
    x, y = raw("digits")
    return _on(loaders((15 * x).byte().view(-1, 1, 8, 8), y), _Divided(divide), epochs=4)


def bytes_divided_without_remainder() -> Program:
    return _on_bytes(lambda x: (x // 255).float())


def bytes_divided_as_numbers() -> Program:
    return _on_bytes(lambda x: x.float() / 255)


class _Rows(Dataset[Batch]):
    def __init__(self, x: Tensor, y: Tensor, *, first: bool) -> None:
        self.x, self.y, self.first = x, y, first

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> Batch:
        return self.x[0 if self.first else index], self.y[index]


def _from_rows(*, first: bool) -> Program:
    x, y = raw("wine")
    x = (x - x.mean(0)) / x.std(0)
    train, validation = _Rows(x[36:], y[36:], first=first), TensorDataset(x[:36], y[:36])
    data = Loaders(DataLoader(train, 16, shuffle=True), DataLoader(validation, 36))
    return _on(data, Task(mlp(13, 3, depth=1)), epochs=8)


def always_the_first_row() -> Program:
    return _from_rows(first=True)


def each_its_own_row() -> Program:
    return _from_rows(first=False)


# -- NNG117


class _Bag(Task):
    """Tells whether a passage holds more vowels than others, from the mean of its characters."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__(nn.Linear(16, 2))
        self.embed = nn.Embedding(num_tokens + 1, 16, padding_idx=num_tokens)
        self.padding = num_tokens

    def forward(self, x: Tensor) -> Tensor:
        known = (x != self.padding)[:, :, None]
        return super().forward((self.embed(x) * known).sum(1) / known.sum(1))


def _padded(samples: list[Batch], *, length: int | None, padding: int) -> Batch:
    x = pad_sequence([x for x, _ in samples], batch_first=True, padding_value=padding)
    x = x if length is None else F.pad(x, (0, length - x.shape[1]), value=padding)
    return x, torch.stack([y for _, y in samples])


def _samples() -> tuple[Any, int]:
    """Return passages of 16 to 24 characters with a label, and the number of different characters."""
    data, num_tokens = text(24)
    windows = data.train.dataset.tensors[0]  # type: ignore[attr-defined]
    sizes = torch.randint(16, 25, (len(windows),), generator=torch.Generator().manual_seed(0)).tolist()
    labels = (windows[:, :16] > num_tokens // 2).sum(1) > 9
    return [(window[:size], label.long()) for window, size, label in zip(windows, sizes, labels, strict=True)], num_tokens


def _passages(length: int | None) -> Program:
    samples, num_tokens = _samples()
    collate = partial(_padded, length=length, padding=num_tokens)
    train = DataLoader(samples[320:], 32, shuffle=True, collate_fn=collate)
    return _on(Loaders(train, DataLoader(samples[:320], 32, collate_fn=collate)), _Bag(num_tokens))


def passages_padded_to_the_longest_of_all() -> Program:
    return _passages(64)


def passages_padded_to_the_longest_of_their_batch() -> Program:
    return _passages(None)


class _Language(Task):
    """Predicts the next character; padding comes first and is not predicted."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__(Recurrent(num_tokens + 1))
        self.padding = num_tokens

    def loss(self, batch: Batch) -> Tensor:
        x, _ = batch
        logits = self(x[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten(), ignore_index=self.padding)


def _padded_in_front(samples: list[Batch], *, length: int | None, padding: int) -> Batch:
    x, y = _padded([(x.flip(0), y) for x, y in samples], length=length, padding=padding)
    return x.flip(1), y


def _characters(length: int | None) -> Program:
    samples, num_tokens = _samples()
    collate = partial(_padded_in_front, length=length, padding=num_tokens)
    train = DataLoader(samples[320:1320], 32, shuffle=True, collate_fn=collate)
    return _on(Loaders(train, DataLoader(samples[:320], 32, collate_fn=collate)), _Language(num_tokens))


def characters_behind_padding() -> Program:
    return _characters(80)


def characters_behind_little_padding() -> Program:
    return _characters(None)


FAULTS = (
    Fault(make=pixels_as_bytes, fixed=pixels_from_zero_to_one, code="NNG102", before=1, where="net.0", line="self.net(x)"),
    Fault(make=table_in_its_own_units, fixed=table_in_standard_deviations, code="NNG102", before=1, where="net.0"),
    Fault(make=temperatures_in_kelvin, fixed=temperatures_from_their_mean, code="NNG102", before=1, where="rnn", line="self.rnn"),
    Fault(make=images_divided_twice, fixed=pixels_from_zero_to_one, code="NNG103", before=1, where="net.0"),
    Fault(
        make=images_divided_twice_before_batch_norm, fixed=images_divided_once_before_batch_norm, code="NNG103", before=1,
        where="net.first", line="self.first(x)",
    ),
    Fault(make=bytes_divided_without_remainder, fixed=bytes_divided_as_numbers, code="NNG104", before=80, where="net.0"),
    Fault(make=always_the_first_row, fixed=each_its_own_row, code="NNG104", before=80, where="net.0"),
    Fault(
        make=passages_padded_to_the_longest_of_all, fixed=passages_padded_to_the_longest_of_their_batch, code="NNG117", before=1,
        where="embed", line="self.embed(x)",
    ),
    Fault(make=characters_behind_padding, fixed=characters_behind_little_padding, code="NNG117", before=1, where="net.embed"),
)  # fmt: skip
