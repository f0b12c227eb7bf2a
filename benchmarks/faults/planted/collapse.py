"""Faults by which what a network says or looks at collapses: constant outputs, one class, one key, units that are copies."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn

from benchmarks.faults.data import Loaders, digits, loaders, table, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp, next_token
from benchmarks.faults.program import Program, Task, adam

Batch = tuple[Tensor, Tensor]


def _on(data: Loaders, task: Task, epochs: int, **changes: Any) -> Program:
    return Program(module=task, train=data.train, validation=data.validation, epochs=epochs, **changes)


# -- NNG306


class _LastPosition(nn.Module):
    """Reads each position of a text by itself, and takes the last one, which is padding, or the mean over the others."""

    def __init__(self, num_tokens: int, *, takes_last: bool) -> None:
        super().__init__()
        self.embed, self.inner, self.head = nn.Embedding(num_tokens + 1, 32), mlp(32, 32, depth=1), nn.Linear(32, 1)
        self.pad, self.takes_last = num_tokens, takes_last

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.inner(self.embed(x))
        is_text = (x != self.pad)[..., None]
        pooled = hidden[:, -1] if self.takes_last else (hidden * is_text).sum(1) / is_text.sum(1)
        return self.head(pooled)  # type: ignore[no-any-return]


def _vowels(*, takes_last: bool) -> Program:
    """The share of the commonest characters in a text of varying length, padded on the right."""
    (train, _), num_tokens = text(24)
    (x, _) = train.dataset.tensors  # type: ignore[attr-defined]
    lengths = torch.randint(8, 23, (len(x), 1), generator=torch.Generator().manual_seed(0))
    common = torch.bincount(x.flatten(), minlength=num_tokens).topk(6).indices
    is_text = torch.arange(24) < lengths
    share = (torch.isin(x, common) & is_text).sum(1, keepdim=True) / lengths
    data = loaders(x.where(is_text, num_tokens), (share - share.mean()) / share.std(), batch_size=16)
    return _on(data, Task(_LastPosition(num_tokens, takes_last=takes_last), F.mse_loss, adam(3e-3)), epochs=4)


def the_last_position_is_padding() -> Program:
    return _vowels(takes_last=True)


def mean_over_the_positions_of_the_text() -> Program:
    return _vowels(takes_last=False)


def _normalised(*, last: bool) -> Program:
    net = mlp(10, 1, depth=2, width=16)
    net.insert(len(net) if last else len(net) - 1, nn.LayerNorm(1 if last else 16))
    return _on(table("diabetes", batch_size=8), Task(net, F.huber_loss, adam(1e-3)), epochs=7)


def normalisation_over_a_single_feature() -> Program:
    return _normalised(last=True)


def normalisation_over_the_hidden_features() -> Program:
    return _normalised(last=False)


# -- NNG308


class _Looking(nn.Module):
    """One wide head of causal self-attention in a language model."""

    def __init__(self, num_tokens: int, *, scaled: bool) -> None:
        super().__init__()
        width = 256
        self.embed, self.place, self.norm = nn.Embedding(num_tokens, width), nn.Embedding(32, width), nn.LayerNorm(width)
        self.inner, self.head = nn.Linear(width, 3 * width), nn.Linear(width, num_tokens)
        nn.init.normal_(self.inner.weight, std=0.08)
        self.scale = 1 / math.sqrt(width) if scaled else 1.0

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.embed(x) + self.place(torch.arange(x.shape[1])))
        queries, keys, values = self.inner(h).chunk(3, -1)
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        scores = (queries @ keys.transpose(-1, -2) * self.scale).masked_fill(future, -torch.inf)
        return self.head(h + scores.softmax(-1) @ values)  # type: ignore[no-any-return]


def _dot_products(*, scaled: bool) -> Program:
    data, num_tokens = text(32, num=400)
    return _on(data, Task(_Looking(num_tokens, scaled=scaled), next_token, adam(3e-3)), epochs=2)


def attention_without_its_scale() -> Program:
    return _dot_products(scaled=False)


def attention_with_its_scale() -> Program:
    return _dot_products(scaled=True)


class _OverRows(nn.Module):
    """Attention over the rows of an image."""

    def __init__(self, std: float | None) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(8, 64), nn.Parameter(0.5 * torch.randn(8, 64))
        self.attention, self.head = nn.MultiheadAttention(64, 4, batch_first=True), nn.Linear(64, 10)
        if std is not None:
            nn.init.normal_(self.attention.in_proj_weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x.squeeze(1)) + self.place
        return self.head((h + self.attention(h, h, h, need_weights=False)[0]).mean(1))  # type: ignore[no-any-return]


def _rows(std: float | None) -> Program:
    return _on(digits(images=True), Task(_OverRows(std), optimizer=adam(1e-3)), epochs=2)


def attention_initialised_with_unit_variance() -> Program:
    return _rows(1.0)


def attention_initialised_as_torch_does() -> Program:
    return _rows(None)


# -- NNG309


def _widened(*, noise: float) -> Program:
    """A network of 16 hidden units, widened to 64 by copies."""
    narrow, wide = mlp(64, 10, depth=1, width=16), mlp(64, 10, depth=1, width=64)
    with torch.no_grad():
        wide[0].weight.copy_(narrow[0].weight.repeat(4, 1))
        wide[0].bias.copy_(narrow[0].bias.repeat(4))
        wide[2].weight.copy_(narrow[2].weight.repeat(1, 4) / 4)
        wide[0].weight += noise * wide[0].weight.std() * torch.randn_like(wide[0].weight)
    return _on(digits(16), Task(wide, optimizer=adam(3e-3)), epochs=3)


def widened_by_plain_copies() -> Program:
    return _widened(noise=0.0)


def widened_by_noisy_copies() -> Program:
    return _widened(noise=0.3)


def _filters(*, repeated: bool) -> Program:
    """Eight edge filters, given four times over to have 32 channels, or 32 random ones."""
    first, second = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 32, 3, stride=2)
    if repeated:
        with torch.no_grad():
            first.weight.copy_(first.weight[:8].repeat(4, 1, 1, 1))
            first.bias.copy_(first.bias[:8].repeat(4))  # type: ignore[union-attr]
            second.weight.copy_(second.weight[:, :8].repeat(1, 4, 1, 1))
    net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    return _on(digits(16, images=True), Task(net, optimizer=adam(1e-3)), epochs=3)


def filters_repeated_for_more_channels() -> Program:
    return _filters(repeated=True)


def filters_all_drawn_at_random() -> Program:
    return _filters(repeated=False)


# -- NNG711


class _Scaling(Task):
    """Scales images in its steps."""

    def __init__(self, *, twice: bool) -> None:
        super().__init__(mlp(64, 10, depth=2), optimizer=adam(3e-3))
        self.twice = twice

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return super().loss((x / 16 / (255 if self.twice and not self.training else 1), y))


def _scaling(*, twice: bool) -> Program:
    x, y = (torch.tensor(each) for each in datasets.load_digits(return_X_y=True))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return _on(loaders(x.float()[order], y[order], batch_size=16), _Scaling(twice=twice), epochs=6)


def validation_scaled_twice() -> Program:
    return _scaling(twice=True)


def validation_scaled_like_training() -> Program:
    return _scaling(twice=False)


def _from_two_columns(pos_weight: float) -> Program:
    """Whether a tumour is benign, from the texture and the symmetry of its cells."""
    columns, y = (torch.tensor(each, dtype=torch.float32) for each in datasets.load_breast_cancer(return_X_y=True))
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    x, y = columns[order][:, [1, 8]], y[order, None]
    weight = torch.tensor(pos_weight)

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, y, pos_weight=weight)

    data = loaders((x - x.mean(0)) / x.std(0), y, batch_size=8)
    return _on(data, Task(mlp(2, 1, depth=1), loss, adam(1e-3)), epochs=8)


def positives_weighted_a_hundredfold() -> Program:
    return _from_two_columns(100.0)


def positives_weighted_like_negatives() -> Program:
    return _from_two_columns(1.0)


FAULTS = (
    Fault(make=the_last_position_is_padding, fixed=mean_over_the_positions_of_the_text, code="NNG306", before=300),
    Fault(make=normalisation_over_a_single_feature, fixed=normalisation_over_the_hidden_features, code="NNG306", before=300),
    Fault(make=attention_without_its_scale, fixed=attention_with_its_scale, code="NNG308", before=50, line="scores.softmax(-1)"),
    Fault(
        make=attention_initialised_with_unit_variance, fixed=attention_initialised_as_torch_does, code="NNG308", before=50,
        where="net.attention", stratum="initialisation-evaluation",
    ),
    Fault(make=widened_by_plain_copies, fixed=widened_by_noisy_copies, code="NNG309", before=300, where="net.0.weight"),
    Fault(make=filters_repeated_for_more_channels, fixed=filters_all_drawn_at_random, code="NNG309", before=300),
    Fault(make=validation_scaled_twice, fixed=validation_scaled_like_training, code="NNG110", before=260),
    Fault(
        make=positives_weighted_a_hundredfold, fixed=positives_weighted_like_negatives, code="NNG711", before=400,
        stratum="hyper-parameter",
    ),
)  # fmt: skip
