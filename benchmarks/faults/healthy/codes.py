"""Healthy programs that compress: autoencoders of several kinds, whose target is their input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import Loaders, digits, loaders
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Program, Task, adam

Batch = tuple[Tensor, Tensor]


def _bright() -> Loaders:
    """Digits with values between 0 and 1."""
    data = digits()
    x, y = (torch.cat([each.dataset.tensors[i] for each in data]) for i in range(2))
    return loaders((x - x.min()) / (x.max() - x.min()), y)


class _Itself(Task):
    def loss(self, batch: Batch) -> Tensor:
        return F.mse_loss(self(batch[0]), batch[0])


def autoencoder() -> Program:
    train, validation = digits()
    net = nn.Sequential(mlp(64, 12, depth=1), mlp(12, 64, depth=1))
    return Program(module=_Itself(net), train=train, validation=validation, epochs=15)


class _SparseCode(Task):
    """Tied weights, and values of the loss from a sigmoid."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(64, 96), optimizer=adam(3e-3))
        self.bias = nn.Parameter(torch.zeros(64))

    def loss(self, batch: Batch) -> Tensor:
        code = torch.sigmoid(self(batch[0]))
        logits = F.linear(code, self.net.weight.T, self.bias)  # type: ignore[union-attr]
        return F.binary_cross_entropy_with_logits(logits, batch[0]) + 1e-3 * code.mean()


def autoencoder_with_tied_weights() -> Program:
    train, validation = _bright()
    return Program(module=_SparseCode(), train=train, validation=validation, epochs=15)


class _Bernoulli(Task):
    def __init__(self) -> None:
        super().__init__(None)
        self.encode, self.mean, self.log_variance = mlp(64, 64, depth=1), nn.Linear(64, 4), nn.Linear(64, 4)
        self.decode = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid())

    def loss(self, batch: Batch) -> Tensor:
        x = batch[0]
        h = F.relu(self.encode(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        code = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        return (F.binary_cross_entropy(self.decode(code), x, reduction="sum") + divergence) / len(x)


def variational_autoencoder_of_pixels() -> Program:
    train, validation = _bright()
    return Program(module=_Bernoulli(), train=train, validation=validation, epochs=15)


class _Quantised(Task):
    """Straight-through gradients; the commitment and the codebook each stop the other's gradient."""

    def __init__(self) -> None:
        super().__init__(None, optimizer=adam(2e-3))
        self.encode, self.book, self.decode = mlp(64, 32, depth=1), nn.Embedding(24, 8), mlp(32, 64, depth=1)

    def loss(self, batch: Batch) -> Tensor:
        x = batch[0]
        code = self.encode(x).view(len(x), 4, 8)
        nearest = (code[:, :, None] - self.book.weight).square().sum(-1).argmin(-1)
        quantised = self.book(nearest)
        commitment = F.mse_loss(quantised, code.detach()) + 0.25 * F.mse_loss(code, quantised.detach())
        quantised = code + (quantised - code).detach()
        return F.mse_loss(self.decode(quantised.flatten(1)), x) + commitment


def quantised_codes() -> Program:
    train, validation = digits()
    return Program(module=_Quantised(), train=train, validation=validation, epochs=15)


class _Binary(Task):
    """Signs of codes, through which the gradient passes as it is; soft choices that are hard in the forward."""

    def __init__(self) -> None:
        super().__init__(mlp(64, 24, depth=1))
        self.choose, self.decode = nn.Linear(64, 8), mlp(32, 64, depth=1)

    def loss(self, batch: Batch) -> Tensor:
        x = batch[0]
        soft = torch.tanh(self(x))
        signs = soft + (soft.sign() - soft).detach()
        choice = F.gumbel_softmax(self.choose(x), hard=True)
        return F.mse_loss(self.decode(torch.cat([signs, choice], 1)), x)


def binary_codes() -> Program:
    train, validation = digits()
    return Program(module=_Binary(), train=train, validation=validation, epochs=12)


PROGRAMS = (autoencoder, autoencoder_with_tied_weights, variational_autoencoder_of_pixels, quantised_codes, binary_codes)
