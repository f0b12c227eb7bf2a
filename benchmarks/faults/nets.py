"""Networks of the programs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(
    num_in: int,
    num_out: int,
    act: type[nn.Module] = nn.ReLU,
    *,
    width: int = 64,
    depth: int = 3,
    norm: type[nn.Module] | None = None,
) -> nn.Sequential:
    """Return a plain network of `depth` hidden layers."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Linear(width if i else num_in, width), *([norm(width)] if norm else []), act()]
    return nn.Sequential(*layers, nn.Linear(width if depth else num_in, num_out))


class ConvNet(nn.Module):
    """Convolutions with batch norm, one in-place rectifier shared by all, dropout; the second convolution has a needless bias."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.first, self.norm1 = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.second, self.norm2 = nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.BatchNorm2d(32)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm1(self.first(x)))
        x = self.relu(self.norm2(self.second(x)))
        return self.head(self.drop(x.flatten(1)))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """A residual block whose last normalisation starts at zero."""

    def __init__(self, num_in: int, num_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(num_in, num_out, 3, stride, 1, bias=False), nn.BatchNorm2d(num_out)
        self.conv2, self.norm2 = nn.Conv2d(num_out, num_out, 3, 1, 1, bias=False), nn.BatchNorm2d(num_out)
        self.relu = nn.ReLU(inplace=True)
        self.short: nn.Module = nn.Identity()
        if num_in != num_out or stride > 1:
            self.short = nn.Sequential(nn.Conv2d(num_in, num_out, 1, stride, bias=False), nn.BatchNorm2d(num_out))
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        return self.relu(inner + self.short(x))  # type: ignore[no-any-return]


def trunk() -> nn.Sequential:
    """Return a residual network without its head: (batch, 1, 8, 8) -> (batch, 32)."""
    stem = [nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    return nn.Sequential(*stem, Residual(16, 32, 2), Residual(32, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Attention(nn.Module):
    """Causal self-attention.

    Args:
        width: Features.
        dropout: Dropout of the attention weights, in training.
        fused: Whether torch's fused attention is used, or scores masked with -inf and a softmax.
        always: Whether dropout is active in evaluation, too (a fault).
    """

    def __init__(self, width: int, *, dropout: float = 0.1, fused: bool = True, always: bool = False) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rate, self.fused, self.always = dropout, fused, always

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.inner(x).chunk(3, -1)
        active = self.training or self.always
        if self.fused:
            return self.outer(F.scaled_dot_product_attention(q, k, v, dropout_p=self.rate if active else 0.0, is_causal=True))  # type: ignore[no-any-return]
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(future, -torch.inf)
        return self.outer(F.dropout(scores.softmax(-1), self.rate, active) @ v)  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """A small language model with tied embeddings."""

    def __init__(self, num_tokens: int, width: int = 32, **attention: bool) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(num_tokens, width), nn.Embedding(64, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.attentions = nn.ModuleList(Attention(width, **attention) for _ in range(2))
        self.mlps = nn.ModuleList(mlp(width, width, nn.GELU, width=4 * width, depth=1) for _ in range(2))
        self.head = nn.Linear(width, num_tokens, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x) + self.place(torch.arange(x.shape[1]))
        for i in range(2):
            h = h + self.attentions[i](self.norms[2 * i](h))
            h = h + self.mlps[i](self.norms[2 * i + 1](h))
        return self.head(h)  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """A recurrent language model with dropout between its two layers."""

    def __init__(self, num_tokens: int, kind: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_tokens, 24)
        self.rnn = kind(24, 48, num_layers=2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(48, num_tokens)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(x))[0])  # type: ignore[no-any-return]


def next_token(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy of a language model."""
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())
