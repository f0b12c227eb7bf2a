"""Faults of what a loss counts: padding, and logarithms of counts."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.faults.data import loaders, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import Decoder, Recurrent, mlp
from benchmarks.faults.program import Program, Task, adam

Batch = tuple[Tensor, Tensor]

# -- NNG117


class _Language(Task):
    """Predicts the next character of passages that are padded to one length."""

    def __init__(self, net: torch.nn.Module, ignored: int) -> None:
        super().__init__(net, optimizer=adam(1e-3))
        self.ignored = ignored

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return F.cross_entropy(self(x).flatten(0, 1), y.flatten(), ignore_index=self.ignored)


class _Shifted(_Language):
    """Takes the targets from the tokens itself."""

    def loss(self, batch: Batch) -> Tensor:
        x, _ = batch
        return F.cross_entropy(self(x)[:, :-1].transpose(1, 2), x[:, 1:], ignore_index=self.ignored)


def _passages(task: type[_Language], net: Callable[[int], torch.nn.Module], *, ignores: bool) -> Program:
    """Return a program on passages of 16 to 24 characters, padded to 64, or to 24 when padding is ignored."""
    data, num_tokens = text(24)
    x, y = data.train.dataset.tensors  # type: ignore[attr-defined]
    sizes = torch.randint(16, 25, (len(x), 1), generator=torch.Generator().manual_seed(0))
    length = 24 if ignores else 64
    is_padding = torch.arange(length) >= sizes
    x, y = (F.pad(each, (0, length - 24)).masked_fill(is_padding, num_tokens) for each in (x, y))
    made = loaders(x, y, batch_size=32)
    module = task(net(num_tokens + 1), num_tokens if ignores else -100)
    return Program(module=module, train=made.train, validation=made.validation, epochs=2)


def passages_whose_padding_is_counted() -> Program:
    return _passages(_Language, Recurrent, ignores=False)


def passages_whose_padding_is_ignored() -> Program:
    return _passages(_Language, Recurrent, ignores=True)


def shifted_passages_whose_padding_is_counted() -> Program:
    return _passages(_Shifted, Decoder, ignores=False)


def shifted_passages_whose_padding_is_ignored() -> Program:
    return _passages(_Shifted, Decoder, ignores=True)


# -- NNG209


class _Counts(Task):
    """Predicts how often something happens."""

    def __init__(self, make: Callable[[Tensor], Tensor], *, log_input: bool) -> None:
        super().__init__(mlp(6, 1), optimizer=adam(1e-3))
        self.make, self.log_input = make, log_input

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return F.poisson_nll_loss(self.make(self(x)[:, 0]), y, log_input=self.log_input)


def _events(make: Callable[[Tensor], Tensor], *, log_input: bool) -> Program:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1500, 6, generator=generator)
    y = torch.poisson(torch.exp(0.5 * x[:, 0] - 0.5 * x[:, 1]), generator=generator)
    made = loaders(x, y, batch_size=32)
    return Program(module=_Counts(make, log_input=log_input), train=made.train, validation=made.validation, epochs=3)


def rates_taken_for_their_logarithms() -> Program:
    return _events(F.softplus, log_input=True)


def rates_taken_for_rates() -> Program:
    return _events(F.softplus, log_input=False)


def logarithms_taken_for_rates() -> Program:
    return _events(Tensor.clone, log_input=False)


def logarithms_taken_for_logarithms() -> Program:
    return _events(Tensor.clone, log_input=True)


FAULTS = (
    Fault(
        make=passages_whose_padding_is_counted, fixed=passages_whose_padding_is_ignored, code="NNG117", before=1,
        where="net.embed", line="F.cross_entropy",
    ),
    Fault(
        make=shifted_passages_whose_padding_is_counted, fixed=shifted_passages_whose_padding_is_ignored, code="NNG117", before=1,
        where="net.embed", line="F.cross_entropy",
    ),
    Fault(make=rates_taken_for_their_logarithms, fixed=rates_taken_for_rates, code="NNG209", before=1, line="F.poisson_nll_loss"),
    Fault(
        make=logarithms_taken_for_rates, fixed=logarithms_taken_for_logarithms, code="NNG209", before=1, line="F.poisson_nll_loss",
    ),
)  # fmt: skip
