"""Faults of language models that see the token they are to predict, and of classes that a loss ignores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import digits, table, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Program, Task, adam

# -- NNG239


class _Writer(nn.Module):
    """Guesses the next character at each position of a text.

    Args:
        num_tokens: Characters.
        sees_all: Whether a position may look at later ones (a fault).
    """

    def __init__(self, num_tokens: int, *, sees_all: bool) -> None:
        super().__init__()
        self.sees_all = sees_all
        self.embed, self.place = nn.Embedding(num_tokens, 32), nn.Parameter(0.1 * torch.randn(24, 32))
        self.head = nn.Linear(32, num_tokens)

    def mix(self, h: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(self.embed(x) + self.place))  # type: ignore[no-any-return]


class _ByEncoder(_Writer):
    """Mixes by an encoder of torch."""

    def __init__(self, num_tokens: int, *, sees_all: bool) -> None:
        super().__init__(num_tokens, sees_all=sees_all)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def mix(self, h: Tensor) -> Tensor:
        mask = None if self.sees_all else nn.Transformer.generate_square_subsequent_mask(h.size(1))
        return self.encoder(h, mask=mask)  # type: ignore[no-any-return]


class _ByOwnHeads(_Writer):
    """Mixes by heads of its own."""

    def __init__(self, num_tokens: int, *, sees_all: bool) -> None:
        super().__init__(num_tokens, sees_all=sees_all)
        self.inner, self.outer, self.norm = nn.Linear(32, 96), nn.Linear(32, 32), nn.LayerNorm(32)

    def mix(self, h: Tensor) -> Tensor:
        q, k, v = (each.unflatten(-1, (4, 8)).transpose(1, 2) for each in self.inner(h).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=not self.sees_all)
        return self.norm(h + self.outer(mixed.transpose(1, 2).flatten(2)))  # type: ignore[no-any-return]


def _writing(kind: type[_Writer], *, sees_all: bool) -> Program:
    (train, validation), num_tokens = text(24)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), target.flatten())

    task = Task(kind(num_tokens, sees_all=sees_all), loss, adam(3e-3))
    return Program(module=task, train=train, validation=validation, epochs=2)


def encoder_without_a_mask() -> Program:
    return _writing(_ByEncoder, sees_all=True)


def encoder_with_a_mask() -> Program:
    return _writing(_ByEncoder, sees_all=False)


def heads_that_look_ahead() -> Program:
    return _writing(_ByOwnHeads, sees_all=True)


def heads_that_look_back() -> Program:
    return _writing(_ByOwnHeads, sees_all=False)


# -- NNG240


def _ignoring(index: int) -> Program:
    """Tell digits apart, by a loss that ignores one number."""
    train, validation = digits()
    task = Task(mlp(64, 10, width=32, depth=2), nn.CrossEntropyLoss(ignore_index=index))
    return Program(module=task, train=train, validation=validation, epochs=3)


def digits_without_the_three() -> Program:
    return _ignoring(3)


def digits_with_all_of_them() -> Program:
    return _ignoring(-100)


class _Wines(Task):
    def __init__(self, index: int) -> None:
        super().__init__(mlp(13, 3, width=16, depth=1))
        self.index = index

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return F.nll_loss(self(x).log_softmax(1), y, ignore_index=self.index)


def _wines(index: int) -> Program:
    train, validation = table("wine")
    return Program(module=_Wines(index), train=train, validation=validation, epochs=10)


def wines_without_the_second() -> Program:
    return _wines(1)


def wines_with_all_of_them() -> Program:
    return _wines(3)


FAULTS = (
    Fault(
        make=encoder_without_a_mask, fixed=encoder_with_a_mask, code="NNG239", before=1, where="net.encoder.layers.0.self_attn",
        line="self.encoder(h, mask=mask)",
    ),
    Fault(
        make=heads_that_look_ahead, fixed=heads_that_look_back, code="NNG239", before=1, where="net",
        line="F.scaled_dot_product_attention",
    ),
    Fault(make=digits_without_the_three, fixed=digits_with_all_of_them, code="NNG240", before=1, line="self._loss(self(x), y)"),
    Fault(make=wines_without_the_second, fixed=wines_with_all_of_them, code="NNG240", before=1, line="ignore_index=self.index"),
)  # fmt: skip
