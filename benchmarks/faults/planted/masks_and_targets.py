"""Faults of masks, positions, targets that the input holds, and samples that were repeated before the split."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from benchmarks.faults.data import digits, loaders, raw, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Program, Task, adam

# -- NNG237


class _Completer(nn.Module):
    """Guesses the next character of a text that was cut short and padded, from all characters before.

    Args:
        num_tokens: Characters; one more stands for padding.
        swapped: Whether the mask is the wrong way round (a fault).
    """

    def __init__(self, num_tokens: int, *, swapped: bool) -> None:
        super().__init__()
        self.pad, self.swapped = num_tokens, swapped
        self.embed, self.place = nn.Embedding(num_tokens + 1, 32), nn.Parameter(0.1 * torch.randn(24, 32))
        self.head = nn.Linear(32, num_tokens)

    def mix(self, h: Tensor, is_pad: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        is_pad = x == self.pad
        h = self.mix(self.embed(x) + self.place, is_pad)
        last = (~is_pad).sum(1) - 1
        return self.head(h[torch.arange(len(x)), last])  # type: ignore[no-any-return]


class _ByLayer(_Completer):
    """Mixes by a layer of torch, whose mask is True where keys are ignored."""

    def __init__(self, num_tokens: int, *, swapped: bool) -> None:
        super().__init__(num_tokens, swapped=swapped)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)

    def mix(self, h: Tensor, is_pad: Tensor) -> Tensor:
        return self.layer(h, src_key_padding_mask=is_pad ^ self.swapped)  # type: ignore[no-any-return]


class _ByFunction(_Completer):
    """Mixes by torch's function, whose mask is True where keys are looked at."""

    def __init__(self, num_tokens: int, *, swapped: bool) -> None:
        super().__init__(num_tokens, swapped=swapped)
        self.inner, self.norm = nn.Linear(32, 96), nn.LayerNorm(32)

    def mix(self, h: Tensor, is_pad: Tensor) -> Tensor:
        q, k, v = self.inner(h)[:, None].chunk(3, -1)
        mask = (is_pad if self.swapped else ~is_pad)[:, None, None]
        return self.norm(h + F.scaled_dot_product_attention(q, k, v, attn_mask=mask)[:, 0])  # type: ignore[no-any-return]


def _completion(kind: type[_Completer], *, swapped: bool) -> Program:
    (train, validation), num_tokens = text(24)
    x = torch.cat([each.dataset.tensors[0] for each in (train, validation)])  # type: ignore[attr-defined]
    length = torch.randint(4, 23, (len(x),), generator=torch.Generator().manual_seed(0))
    y = x[torch.arange(len(x)), length]
    x = x.masked_fill(torch.arange(24) >= length[:, None], num_tokens)
    data = loaders(x, y, batch_size=32)
    task = Task(kind(num_tokens, swapped=swapped), optimizer=adam(2e-3))
    return Program(module=task, train=data.train, validation=data.validation, epochs=2)


def layer_that_ignores_the_text() -> Program:
    return _completion(_ByLayer, swapped=True)


def layer_that_ignores_the_padding() -> Program:
    return _completion(_ByLayer, swapped=False)


def attention_to_the_padding() -> Program:
    return _completion(_ByFunction, swapped=True)


def attention_to_the_text() -> Program:
    return _completion(_ByFunction, swapped=False)


# -- NNG238


class _Waves(nn.Module):
    """Adds sines to inputs of shape (time, batch, features), or (batch, time, features)."""

    def __init__(self, width: int, *, time_first: bool) -> None:
        super().__init__()
        angles = torch.arange(500)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(1e4) / width))
        waves = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
        self.time_first = time_first
        self.register_buffer("waves", waves[:, None])

    def forward(self, x: Tensor) -> Tensor:
        if self.time_first:
            return x + self.waves[: x.size(0)]  # type: ignore[index, no-any-return]
        return x + self.waves[: x.size(1)].transpose(0, 1)  # type: ignore[index, operator, no-any-return]


class _RowReader(nn.Module):
    """Reads a digit as a sequence of its rows, with the batch first."""

    def __init__(self, *, time_first: bool) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(8, 24), _Waves(24, time_first=time_first)
        self.mix, self.head = nn.TransformerEncoderLayer(24, 4, 48, dropout=0.0, batch_first=True), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(self.place(self.embed(x.squeeze(1)))).mean(1))  # type: ignore[no-any-return]


def _rows(*, time_first: bool) -> Program:
    train, validation = digits(images=True)
    return Program(
        module=Task(_RowReader(time_first=time_first), optimizer=adam(3e-3)), train=train, validation=validation, epochs=3
    )


def sines_over_the_samples() -> Program:
    return _rows(time_first=True)


def sines_over_the_rows() -> Program:
    return _rows(time_first=False)


# -- NNG116


class _Forecaster(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])  # type: ignore[no-any-return]


def _forecast(ahead: int) -> Program:
    """Forecast how long the words of a text become, from the last 20 values of a moving average."""
    (train, _), _ = text(64, num=1000)
    weights = (1 + torch.arange(8.0)).flip(0)[None, None] / 36
    series = F.conv1d(train.dataset.tensors[0].float()[:, None], weights)[:, 0]  # type: ignore[attr-defined]
    series = (series - series.mean()) / series.std()
    data = loaders(series[:, :20, None], series[:, 19 + ahead, None])
    return Program(module=Task(_Forecaster(), F.mse_loss, adam(3e-3)), train=data.train, validation=data.validation, epochs=3)


def forecast_of_the_last_value() -> Program:
    return _forecast(0)


def forecast_of_the_next_value() -> Program:
    return _forecast(1)


def _diabetes(*, with_target: bool) -> Program:
    x, y = raw("diabetes")
    whole = torch.cat([x, y[:, None].float()], 1)
    whole = (whole - whole.mean(0)) / whole.std(0)
    data = loaders(whole if with_target else whole[:, :-1], whole[:, -1:], batch_size=32)
    module = Task(mlp(10 + with_target, 1, width=16, depth=1), F.mse_loss)
    return Program(module=module, train=data.train, validation=data.validation, epochs=5)


def table_with_its_target_as_a_column() -> Program:
    return _diabetes(with_target=True)


def table_without_its_target() -> Program:
    return _diabetes(with_target=False)


# -- NNG109


def _balanced(*, before: bool) -> Program:
    """Repeat rows of the rarer class at random until both are as frequent, before the split or in the training part."""
    x, y = raw("breast_cancer")
    rows = torch.cat([(x - x.mean(0)) / x.std(0), y[:, None].float()], 1)
    generator = torch.Generator().manual_seed(0)

    def balanced(part: Tensor) -> Tensor:
        rare = part[part[:, -1] == 0]
        return torch.cat([part, rare[torch.randint(len(rare), (len(part) - 2 * len(rare),), generator=generator)]])

    if before:
        train, validation = (torch.stack(list(each)) for each in random_split(balanced(rows), [0.8, 0.2], generator))  # type: ignore[arg-type]
    else:
        train, validation = balanced(rows[114:]), rows[:114]
    parts = [TensorDataset(each[:, :-1].contiguous(), each[:, -1].long()) for each in (train, validation)]
    loader = DataLoader(parts[0], 32, shuffle=True)
    return Program(module=Task(mlp(30, 2, width=16, depth=1)), train=loader, validation=DataLoader(parts[1], 64), epochs=3)


def classes_balanced_before_the_split() -> Program:
    return _balanced(before=True)


def classes_balanced_after_the_split() -> Program:
    return _balanced(before=False)


FAULTS = (
    Fault(
        make=layer_that_ignores_the_text, fixed=layer_that_ignores_the_padding, code="NNG237", before=1,
        where="net.layer.self_attn", line="src_key_padding_mask=is_pad ^ self.swapped", stratum="data-dimension",
    ),
    Fault(
        make=attention_to_the_padding, fixed=attention_to_the_text, code="NNG237", before=1, where="net",
        line="F.scaled_dot_product_attention", stratum="data-dimension",
    ),
    Fault(
        make=sines_over_the_samples, fixed=sines_over_the_rows, code="NNG238", before=1, where="net.place",
        line="x + self.waves[: x.size(0)]", stratum="data-dimension",
    ),
    Fault(make=forecast_of_the_last_value, fixed=forecast_of_the_next_value, code="NNG116", before=1, stratum="data-dimension"),
    Fault(make=table_with_its_target_as_a_column, fixed=table_without_its_target, code="NNG116", before=1),
    Fault(
        make=classes_balanced_before_the_split, fixed=classes_balanced_after_the_split, code="NNG109", before=50,
        where="val_dataloader",
    ),
)  # fmt: skip
