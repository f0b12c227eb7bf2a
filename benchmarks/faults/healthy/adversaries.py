"""Healthy programs whose parts work against each other: their losses are negated, and no loss has to fall."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import digits
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Manual, Program, Task

Batch = tuple[Tensor, Tensor]


class _Adversaries(Manual):
    """Maker and judge, each with its optimizer; the judge learns from all batches, the maker from each `every`-th."""

    def __init__(self, rate: float = 1e-3, every: int = 1, **adam: Any) -> None:
        super().__init__()
        self.make = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh())
        self.judge = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
        self.rate, self.every, self.adam = rate, every, adam

    def judges_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        raise NotImplementedError

    def makers_loss(self, fake: Tensor) -> Tensor:
        raise NotImplementedError

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        real = batch[0].clamp(-1, 1)
        maker, judge = self.optimizers()  # type: ignore[misc]
        fake = self.make(torch.randn(len(real), 16))
        self.step(judge, self.judges_loss(real, fake.detach()))
        if batch_idx % self.every == 0:
            self.step(maker, self.makers_loss(self.make(torch.randn(len(real), 16))))
        self.log("distance_of_means", (real.mean(0) - fake.detach().mean(0)).norm(), on_step=False, on_epoch=True)

    def configure_optimizers(self) -> Any:
        return [torch.optim.Adam(each.parameters(), self.rate, **self.adam) for each in (self.make, self.judge)]


class _Hinge(_Adversaries):
    def judges_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - self.judge(real)).mean() + F.relu(1 + self.judge(fake)).mean()

    def makers_loss(self, fake: Tensor) -> Tensor:
        return -self.judge(fake).mean()


def adversaries_with_a_hinge() -> Program:
    return Program(module=_Hinge(5e-4, betas=(0.0, 0.9)), train=digits(128, drop_last=True).train, epochs=30)


class _Minimax(_Adversaries):
    """The maker maximises the judge's own loss, as in the first paper on the subject."""

    def judges_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        yes, no = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        right = F.binary_cross_entropy_with_logits(self.judge(real), yes)
        return right + F.binary_cross_entropy_with_logits(self.judge(fake), no)

    def makers_loss(self, fake: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(self.judge(fake), torch.zeros(len(fake), 1))


def adversaries_with_a_negated_loss() -> Program:
    return Program(module=_Minimax(5e-4, betas=(0.5, 0.9)), train=digits(128, drop_last=True).train, epochs=30)


class _Penalised(_Adversaries):
    """A critic whose gradient by its input has norm one; its last layer has no use for a bias, nor gets it a gradient."""

    def judges_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(real), 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.judge(between).sum(), between, create_graph=True)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        return self.judge(fake).mean() - self.judge(real).mean() + 10 * penalty

    def makers_loss(self, fake: Tensor) -> Tensor:
        return -self.judge(fake).mean()


def critic_with_a_gradient_penalty() -> Program:
    return Program(module=_Penalised(1e-3, 2, betas=(0.0, 0.9)), train=digits(128, drop_last=True).train, epochs=30)


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # type: ignore[override]
        return -0.3 * slope


class _Domains(Task):
    """Digits as they are and darkened ones: features must not tell the two apart."""

    def __init__(self) -> None:
        super().__init__(mlp(64, 64, depth=1))
        self.kind, self.domain = nn.Linear(64, 10), mlp(64, 2, width=32, depth=1)

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        features = F.relu(self(torch.cat([x, 0.5 * x - 0.5])))
        domain = torch.arange(2).repeat_interleave(len(x))
        told = F.cross_entropy(self.domain(_Reverse.apply(features)), domain)
        return F.cross_entropy(self.kind(features[: len(x)]), y) + told


def gradient_reversal() -> Program:
    train, validation = digits()
    return Program(module=_Domains(), train=train, validation=validation, epochs=12)


class _Confident(Task):
    """Pays for being sure: part of the loss is minus an entropy; and for giving way to the worst small change of the input."""

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        logits = self(x)
        belief = logits.softmax(1)
        entropy = -(belief * logits.log_softmax(1)).sum(1).mean()
        loss = F.cross_entropy(logits, y) - 0.1 * entropy
        if not self.training:
            return loss
        change = (1e-2 * F.normalize(torch.randn_like(x), dim=1)).requires_grad_()
        apart = F.kl_div(self(x + change).log_softmax(1), belief.detach(), reduction="batchmean")
        (worst,) = torch.autograd.grad(apart, change)
        moved = self(x + 0.5 * F.normalize(worst, dim=1)).log_softmax(1)
        return loss + F.kl_div(moved, belief.detach(), reduction="batchmean")


def virtual_adversaries_and_a_price_on_confidence() -> Program:
    train, validation = digits()
    return Program(module=_Confident(mlp(64, 10, depth=2)), train=train, validation=validation, epochs=8)


PROGRAMS = (
    adversaries_with_a_hinge, adversaries_with_a_negated_loss, critic_with_a_gradient_penalty, gradient_reversal,
    virtual_adversaries_and_a_price_on_confidence,
)  # fmt: skip
