"""Blocks of random networks: each maps (batch, WIDTH) to (batch, WIDTH)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

WIDTH = 8


class Called(nn.Module):
    """Calls a function, without parameters of its own."""

    def __init__(self, function: Callable[..., Tensor], **options: Any) -> None:
        super().__init__()
        self.function, self.options = function, options

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, **self.options)


class FunctionalDropout(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.3, training=self.training)


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x) if self.training else x


class LastOfSequence(nn.Module):
    """Gives a layer of sequences four steps, and takes the last."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.stack([x, -x, 0.5 * x, x * x], dim=1)
        out = self.layer(steps, steps, steps) if isinstance(self.layer, nn.MultiheadAttention) else self.layer(steps)
        return (out[0] if isinstance(out, tuple) else out)[:, -1]  # type: ignore[no-any-return]


class Packed(nn.Module):
    """A recurrent layer of a packed sequence, whose output is packed, too."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.arange(len(x)) % 3 + 1
        packed = nn.utils.rnn.pack_padded_sequence(x[:, None].expand(-1, 3, -1), lengths, batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return out.mean(1)  # type: ignore[no-any-return]


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        images = x.reshape(-1, 1, 2, 4).contiguous(memory_format=torch.channels_last)
        return F.relu(self.norm(self.conv(images))).mean(1).flatten(1)


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)  # type: ignore[no-any-return]


class Frozen(nn.Sequential):
    """Its parameters are frozen when all of them are there."""


class Repeated(nn.Module):
    """One module, called several times and known under two names."""

    def __init__(self, inner: nn.Module, times: int) -> None:
        super().__init__()
        self.inner = self.alias = inner
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = self.inner(x).tanh()
        return x


class Recomputed(nn.Module):
    """Activation checkpointing, in either mode."""

    def __init__(self, inner: nn.Module, *, use_reentrant: bool) -> None:
        super().__init__()
        self.inner, self.use_reentrant = inner, use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=self.use_reentrant)  # type: ignore[no-any-return]


class Pair(NamedTuple):
    value: Tensor
    rest: Any


@dataclass
class Output:
    value: Tensor
    note: str = "an output"


class Wrapped(nn.Module):
    """Its inner module returns its output inside of something."""

    def __init__(self, inner: nn.Module, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = _Wrapping(inner, kind), kind

    def forward(self, x: Tensor) -> Tensor:
        out = self.inner(x)
        if self.kind == "dict":
            return out["a"][0]  # type: ignore[no-any-return]
        return out[0] if self.kind == "list" else out.value  # type: ignore[no-any-return]


class _Wrapping(nn.Module):
    def __init__(self, inner: nn.Module, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, x: Tensor) -> Any:
        out = self.inner(x)
        if self.kind == "dict":
            return {"a": [out, None], "b": "text", 3: {}}
        if self.kind == "list":
            return [out, torch.tensor(3), [], None]
        return Pair(out, rest=[out.detach()]) if self.kind == "named tuple" else Output(out)


class Odd(nn.Module):
    """Makes tensors of many kinds on its way, none of which matters."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("counter", torch.zeros((), dtype=torch.long))
        self.scale = nn.Parameter(torch.ones(()))
        self.frozen = nn.Parameter(torch.randn(WIDTH), requires_grad=False)
        self.unused = nn.Parameter(torch.empty(0))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.counter += 1
        spectrum = torch.fft.rfft(x.float(), dim=1)
        with torch.no_grad():
            sparse = torch.eye(WIDTH).to_sparse()
            dense = torch.sparse.mm(sparse, x.detach().float().t()).t()
        empty = x[:0].sum()
        back = torch.fft.irfft(spectrum, n=WIDTH, dim=1).to(x.dtype)
        return self.scale * back + self.frozen.to(x.dtype) + 0 * dense.to(x.dtype) + empty


LEAVES: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "linear without bias": lambda: nn.Linear(WIDTH, WIDTH, bias=False),
    "lazy linear": lambda: nn.LazyLinear(WIDTH),
    "bilinear": lambda: _OfTwo(nn.Bilinear(WIDTH, WIDTH, WIDTH)),
    "ReLU": nn.ReLU,
    "ReLU in place": lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True)),
    "relu": lambda: Called(F.relu),
    "gelu": lambda: Called(F.gelu),
    "clamp": lambda: Called(torch.clamp, min=0.0),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softmax": lambda: nn.Softmax(1),
    "batch norm": lambda: nn.BatchNorm1d(WIDTH),
    "layer norm": lambda: nn.LayerNorm(WIDTH),
    "group norm": lambda: nn.GroupNorm(2, WIDTH),
    "dropout": lambda: nn.Dropout(0.3),
    "functional dropout": FunctionalDropout,
    "noise": Noise,
    "convolution": Convolved,
    "packed": Packed,
    "LSTM": lambda: LastOfSequence(nn.LSTM(WIDTH, WIDTH, batch_first=True)),
    "attention": lambda: LastOfSequence(nn.MultiheadAttention(WIDTH, 2, dropout=0.1, batch_first=True)),
    "transformer layer": lambda: LastOfSequence(nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)),
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH)),
    "odd": Odd,
    "identity": nn.Identity,
}


class _OfTwo(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x)  # type: ignore[no-any-return]


Tree = str | tuple[str, list["Tree"]]
BRANCHES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "sequential": lambda inner: inner,
    "residual": Residual,
    "twice": lambda inner: Repeated(inner, 2),
    "six times": lambda inner: Repeated(inner, 6),
    "recomputed": lambda inner: Recomputed(inner, use_reentrant=False),
    "recomputed, reentrant": lambda inner: Recomputed(inner, use_reentrant=True),
    "dict": lambda inner: Wrapped(inner, "dict"),
    "list": lambda inner: Wrapped(inner, "list"),
    "named tuple": lambda inner: Wrapped(inner, "named tuple"),
    "dataclass": lambda inner: Wrapped(inner, "dataclass"),
    "frozen": lambda inner: Frozen(inner),
}


def build(tree: Tree) -> nn.Module:
    """Return the modules of a tree."""
    if isinstance(tree, str):
        return LEAVES[tree]()
    kind, children = tree
    return BRANCHES[kind](nn.Sequential(*map(build, children)))
