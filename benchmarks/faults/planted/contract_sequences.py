"""Faults in the contract between output, loss and target of models of sequences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import digits, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import Decoder, Recurrent, mlp, next_token
from benchmarks.faults.program import Loss, Program, Task, adam

Batch = tuple[Tensor, Tensor]


class _Ending(nn.Module):
    def __init__(self, net: nn.Module, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.end = net, end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.net(x))


def _on_text(make: Callable[[int], nn.Module], loss: Loss = next_token, epochs: int = 1, rate: float = 3e-3) -> Program:
    data, num_tokens = text(16, num=800)
    return Program(module=Task(make(num_tokens), loss, adam(rate)), train=data.train, validation=data.validation, epochs=epochs)


# -- NNG208, NNG211


def probabilities_of_the_next_token() -> Program:
    return _on_text(lambda num_tokens: _Ending(Decoder(num_tokens), lambda logits: logits.softmax(-1)))


def logits_of_the_next_token() -> Program:
    return _on_text(Decoder)


def probabilities_of_a_recurrent_network() -> Program:
    return _on_text(lambda num_tokens: nn.Sequential(Recurrent(num_tokens, nn.GRU), nn.Softmax(-1)))


def logits_of_a_recurrent_network() -> Program:
    return _on_text(lambda num_tokens: Recurrent(num_tokens, nn.GRU))


def _likelihood(logs: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(logs.flatten(0, 1), target.flatten())


def _normalised(dim: int) -> Program:
    return _on_text(lambda num_tokens: _Ending(Recurrent(num_tokens), partial(F.log_softmax, dim=dim)), _likelihood)


def log_softmax_over_time() -> Program:
    return _normalised(1)


def log_softmax_over_tokens() -> Program:
    return _normalised(2)


# -- NNG209


class _Pupil(Task):
    """Learns from the probabilities of a frozen network."""

    def __init__(self, *, logs: bool) -> None:
        super().__init__(mlp(64, 10))
        self.teacher = mlp(64, 10, depth=1).requires_grad_(False)
        self.logs = logs

    def loss(self, batch: Batch) -> Tensor:
        own, other = self(batch[0]), self.teacher(batch[0]).softmax(1)
        return F.kl_div(own.log_softmax(1) if self.logs else own.softmax(1), other, reduction="batchmean")


def _pupil(*, logs: bool) -> Program:
    train, validation = digits()
    return Program(module=_Pupil(logs=logs), train=train, validation=validation, epochs=2)


def divergence_of_probabilities() -> Program:
    return _pupil(logs=False)


def divergence_of_log_probabilities() -> Program:
    return _pupil(logs=True)


# -- NNG210


class _Counter(nn.Module):
    """Says of a text how much of it is the token that it begins with."""

    def __init__(self, num_tokens: int, *, squeezes: bool) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(num_tokens, 16), nn.GRU(16, 32, batch_first=True), nn.Linear(32, 1)
        self.squeezes = squeezes

    def forward(self, x: Tensor) -> Tensor:
        out = self.head(self.rnn(self.embed(x))[0][:, -1])
        return out.squeeze(-1) if self.squeezes else out  # type: ignore[no-any-return]


class _Counting(Task):
    def loss(self, batch: Batch) -> Tensor:
        x, _ = batch
        share = (x == x[:, :1]).float().mean(1)
        return (self(x) - share).abs().mean()


def _counts(*, squeezes: bool) -> Program:
    data, num_tokens = text(32, num=800)
    module = _Counting(_Counter(num_tokens, squeezes=squeezes), optimizer=adam(3e-3))
    return Program(module=module, train=data.train, validation=data.validation, epochs=2)


def column_of_shares_and_row_of_shares() -> Program:
    return _counts(squeezes=False)


def row_of_shares_and_row_of_shares() -> Program:
    return _counts(squeezes=True)


# -- NNG116, NNG228


def _own_token(logits: Tensor, x: Tensor) -> Tensor:
    return F.cross_entropy(logits.transpose(1, 2), x)


class _Echo(Task):
    def __init__(self, num_tokens: int, *, shifted: bool) -> None:
        super().__init__(Recurrent(num_tokens), _own_token, adam(1e-2))
        self.shifted = shifted

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return super().loss((x, y if self.shifted else x))


def _echo(*, shifted: bool) -> Program:
    data, num_tokens = text(16)
    return Program(module=_Echo(num_tokens, shifted=shifted), train=data.train, validation=data.validation, epochs=4)


def recurrent_network_that_predicts_its_input() -> Program:
    return _echo(shifted=False)


def recurrent_network_that_predicts_what_follows() -> Program:
    return _echo(shifted=True)


def _without_padding(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=0)


class _Padded(Task):
    """The loss leaves padding out. The fault pads in the place of the text."""

    def __init__(self, num_tokens: int, *, inverted: bool) -> None:
        super().__init__(
            Recurrent(num_tokens), lambda logits, y: F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=0)
        )
        self.inverted = inverted

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        is_text = torch.arange(y.shape[1]) < 12
        return super().loss((x, torch.where(~is_text & (y < 0) if self.inverted else is_text, y, 0)))


def _padded(*, inverted: bool) -> Program:
    data, num_tokens = text(16, num=800)
    return Program(module=_Padded(num_tokens, inverted=inverted), train=data.train, epochs=1)


def mask_of_padding_inverted() -> Program:
    return _padded(inverted=True)


def mask_of_padding() -> Program:
    return _padded(inverted=False)


FAULTS = (
    Fault(
        make=probabilities_of_the_next_token, fixed=logits_of_the_next_token, code="NNG208", before=1,
        line="logits.softmax(-1)",
    ),
    Fault(
        make=probabilities_of_a_recurrent_network, fixed=logits_of_a_recurrent_network, code="NNG208", before=1,
        line="`net.1`",
    ),
    Fault(make=log_softmax_over_time, fixed=log_softmax_over_tokens, code="NNG211", before=1, stratum="contract"),
    Fault(
        make=divergence_of_probabilities, fixed=divergence_of_log_probabilities, code="NNG209", before=1, line="F.kl_div("
    ),
    Fault(
        make=column_of_shares_and_row_of_shares, fixed=row_of_shares_and_row_of_shares, code="NNG210", before=1,
        line="self(x) - share",
    ),
    Fault(
        make=recurrent_network_that_predicts_its_input, fixed=recurrent_network_that_predicts_what_follows, code="NNG116",
        before=201,
    ),
    Fault(make=mask_of_padding_inverted, fixed=mask_of_padding, code="NNG228", before=1),
)  # fmt: skip
