"""Healthy programs on text and other sequences."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.checkpoint import checkpoint

from benchmarks.faults.data import digits, loaders, text
from benchmarks.faults.nets import Decoder, Recurrent, next_token
from benchmarks.faults.program import Program, Task, adam, sgd


def warm_up_and_cosine(optimizer: Optimizer, *, num_warm_up: int, num_steps: int) -> LambdaLR:
    return LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / num_warm_up) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / num_steps)))
    )


def decoder_with_inf_mask_and_long_warm_up() -> Program:
    (train, validation), num_tokens = text(16)
    schedule = partial(warm_up_and_cosine, num_warm_up=250, num_steps=400)
    module = Task(Decoder(num_tokens, fused=False), next_token, adam(3e-3), schedule)
    return Program(module=module, train=train, validation=validation, epochs=8, trainer={"gradient_clip_val": 1.0})


def decoder_in_bfloat16() -> Program:
    (train, validation), num_tokens = text(16)
    module = Task(Decoder(num_tokens), next_token, adam(3e-3))
    return Program(module=module, train=train, validation=validation, epochs=6, trainer={"precision": "bf16-mixed"})


def recurrent_language_model() -> Program:
    (train, validation), num_tokens = text(16)
    module = Task(Recurrent(num_tokens, nn.GRU), next_token, adam(5e-3))
    return Program(module=module, train=train, validation=validation, epochs=6)


def _start_small(net: Recurrent) -> Recurrent:
    nn.init.uniform_(net.embed.weight, -0.1, 0.1)
    nn.init.uniform_(net.head.weight, -0.1, 0.1)
    nn.init.zeros_(net.head.bias)
    return net


def language_model_with_a_rate_of_fifteen() -> Program:
    """The old recipe for recurrent language models: plain SGD, gradients clipped short, small weights in the head."""
    (train, validation), num_tokens = text(32, 500, 12)
    module = Task(_start_small(Recurrent(num_tokens)), next_token, sgd(15.0))
    return Program(module=module, train=train, validation=validation, epochs=20, trainer={"gradient_clip_val": 0.25})


class _OwnLSTM(nn.Module):
    def __init__(self, num_tokens: int, width: int = 32) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(num_tokens, 16), nn.Linear(width, num_tokens)
        self.inner, self.again = nn.Linear(16, 4 * width), nn.Linear(width, 4 * width, bias=False)

    def forward(this, tokens: Tensor) -> Tensor:  # noqa: N805 - not everybody says self
        h = c = torch.zeros(len(tokens), this.again.in_features)
        states = []
        for x in this.embed(tokens).unbind(1):
            i, f, g, o = (this.inner(x) + this.again(h)).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        return this.head(torch.stack(states, 1))  # type: ignore[no-any-return]


def lstm_written_by_hand() -> Program:
    (train, validation), num_tokens = text(8)
    module = Task(_OwnLSTM(num_tokens), next_token, adam(1e-2))
    return Program(module=module, train=train, validation=validation, epochs=6)


class _Encoder(nn.Module):
    """Reads a digit row by row. Each layer is checkpointed."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.rows, self.place = nn.Linear(8, 32), nn.Parameter(torch.zeros(8, 32))
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(32, 4, 64, 0.1, batch_first=True, norm_first=True) for _ in range(2))
        self.head = nn.Linear(32, 10)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.rows(x.view(-1, 8, 8)) + self.place
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=self.reentrant) if self.training else layer(x)
        return self.head(x.mean(1))  # type: ignore[no-any-return]


def checkpointed_encoder() -> Program:
    train, validation = digits()
    module = Task(_Encoder(reentrant=False), optimizer=adam(2e-3))
    return Program(module=module, train=train, validation=validation, epochs=10)


def checkpointed_encoder_the_old_way() -> Program:
    train, validation = digits()
    module = Task(_Encoder(reentrant=True), optimizer=adam(2e-3))
    return Program(module=module, train=train, validation=validation, epochs=10)


class _MaskedTokens(Task):
    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x = batch[0].clone()
        hidden = torch.rand(x.shape) < 0.3
        target = torch.where(hidden, x, -100)
        x[hidden] = 0
        return F.cross_entropy(self(x).transpose(1, 2), target)


class _Context(nn.Module):
    """Predicts a token from its neighbours."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        self.embed, self.conv, self.head = nn.Embedding(num_tokens, 24), nn.Conv1d(24, 64, 5, padding=2), nn.Linear(64, num_tokens)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(self.embed(x).transpose(1, 2))).transpose(1, 2))  # type: ignore[no-any-return]


def masked_tokens_with_ignore_index() -> Program:
    (train, validation), num_tokens = text(16)
    return Program(module=_MaskedTokens(_Context(num_tokens), optimizer=adam(5e-3)), train=train, validation=validation, epochs=8)


class _Packed(Task):
    """Finds out whether a sequence of any length holds a token."""

    def __init__(self) -> None:
        super().__init__(nn.Embedding(20, 16, padding_idx=0), optimizer=adam(5e-3))
        self.rnn, self.head = nn.GRU(16, 24, bidirectional=True, batch_first=True), nn.Linear(48, 2)

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        x, lengths, y = batch
        packed = pack_padded_sequence(self(x), lengths, batch_first=True, enforce_sorted=False)
        _, last = self.rnn(packed)
        return F.cross_entropy(self.head(torch.cat([last[0], last[1]], 1)), y)


class _Padded(nn.Module):
    """Attends to tokens, not to padding, of which some sequences have little else."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 32, padding_idx=0)
        self.attention = nn.MultiheadAttention(32, 4, dropout=0.1, batch_first=True)
        self.head = nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        h, _ = self.attention(h, h, h, key_padding_mask=x == 0)
        return self.head(h.masked_fill((x == 0)[..., None], 0).sum(1))  # type: ignore[no-any-return]


def _padded_tokens() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 11, (1200,), generator=generator)
    x = torch.randint(1, 20, (1200, 10), generator=generator)
    x = x.masked_fill(torch.arange(10) >= lengths[:, None], 0)
    return x, lengths, ((x == 3) | (x == 7) | (x == 9)).any(1).long()


def packed_sequences() -> Program:
    train, validation = loaders(*_padded_tokens(), batch_size=32)
    return Program(module=_Packed(), train=train, validation=validation, epochs=10)


def padded_attention() -> Program:
    x, _, y = _padded_tokens()
    train, validation = loaders(x, y, batch_size=32)
    return Program(module=Task(_Padded(), optimizer=adam(3e-3)), train=train, validation=validation, epochs=12)


PROGRAMS = (
    decoder_with_inf_mask_and_long_warm_up, decoder_in_bfloat16, recurrent_language_model, language_model_with_a_rate_of_fifteen,
    lstm_written_by_hand, checkpointed_encoder, checkpointed_encoder_the_old_way, masked_tokens_with_ignore_index,
    packed_sequences, padded_attention,
)  # fmt: skip
