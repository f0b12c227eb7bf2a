"""Healthy programs with losses of all kinds: quantiles, ranks, soft labels, maps, and losses written by hand."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import digits, loaders, table
from benchmarks.faults.nets import ConvNet, mlp
from benchmarks.faults.program import Program, Task, adam

Batch = tuple[Tensor, Tensor]


def _log_cosh(output: Tensor, target: Tensor) -> Tensor:
    apart = output - target
    return (apart + F.softplus(-2 * apart) - math.log(2)).mean()


def log_cosh() -> Program:
    train, validation = table("diabetes")
    return Program(module=Task(mlp(10, 1, depth=1), _log_cosh), train=train, validation=validation, epochs=12)


def flat_predictions() -> Program:
    """Predictions and targets both lose their last dimension."""
    train, validation = table("diabetes")
    module = Task(mlp(10, 1, depth=1), lambda output, target: F.huber_loss(output.squeeze(-1), target.squeeze(-1)))
    return Program(module=module, train=train, validation=validation, epochs=12)


class _Quantiles(nn.Module):
    """Targets (N, 1) against predictions (N, 3) of quantiles (3,)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor([0.1, 0.5, 0.9]))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        apart = target - output
        return torch.maximum(self.levels * apart, (self.levels - 1) * apart).mean()


def quantiles_by_broadcasting() -> Program:
    train, validation = table("diabetes")
    module = Task(mlp(10, 3, depth=1))
    module._loss = _Quantiles()
    return Program(module=module, train=train, validation=validation, epochs=12)


class _LogProbabilities(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(mlp(13, 3, width=32, depth=1), nn.LogSoftmax(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]


def log_probabilities() -> Program:
    train, validation = table("wine")
    module = Task(_LogProbabilities(), nn.NLLLoss(), adam(1e-2))
    return Program(module=module, train=train, validation=validation, epochs=15)


def two_classes_with_a_sigmoid() -> Program:
    train, validation = table("breast_cancer")
    net = nn.Sequential(mlp(30, 1, width=16, depth=1), nn.Sigmoid(), nn.Flatten(0))
    module = Task(net, lambda output, y: F.binary_cross_entropy(output, y.float(), weight=0.5 + y))
    return Program(module=module, train=train, validation=validation, epochs=12)


def two_classes_with_a_hinge() -> Program:
    train, validation = table("breast_cancer")
    module = Task(nn.Linear(30, 1), lambda output, y: F.relu(1 - output * (2 * y[:, None] - 1)).mean())
    return Program(module=module, train=train, validation=validation, epochs=20)


class _Focal(nn.Module):
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        wanted = F.one_hot(target, logits.shape[1]).float()
        loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        sure = torch.sigmoid(logits) * wanted + (1 - torch.sigmoid(logits)) * (1 - wanted)
        return (loss * (1 - sure) ** 2).sum(1).mean()


def focal_loss() -> Program:
    train, validation = digits()
    module = Task(mlp(64, 10, depth=1))
    module._loss = _Focal()
    return Program(module=module, train=train, validation=validation, epochs=8)


class _Ordered(Task):
    """Ordinal regression: one score (N, 1) against nine thresholds (9,), and a question for each of them."""

    def __init__(self) -> None:
        super().__init__(mlp(64, 1, depth=1), optimizer=adam(3e-3))
        self.bounds = nn.Parameter(torch.linspace(-2, 2, 9))

    def loss(self, batch: Batch) -> Tensor:
        larger = (batch[1][:, None] > torch.arange(9)).float()
        return F.binary_cross_entropy_with_logits(self(batch[0]) - self.bounds, larger)


def ordinal_regression() -> Program:
    train, validation = digits()
    return Program(module=_Ordered(), train=train, validation=validation, epochs=12)


class _Mixed(Task):
    """Mixup in even batches, with soft labels; cutmix in odd ones, with two losses."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        order, share = torch.randperm(len(x)), float(torch.distributions.Beta(0.4, 0.4).sample())
        if batch_idx % 2:
            width = round(8 * (1 - share))
            x = torch.cat([x[order][..., :width], x[..., width:]], -1)
            share, logits = 1 - width / 8, self(x)
            return share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, y[order])
        soft = F.one_hot(y, 10).float()
        return F.cross_entropy(self(share * x + (1 - share) * x[order]), share * soft + (1 - share) * soft[order])


def mixup_and_cutmix() -> Program:
    train, validation = digits(images=True)
    return Program(module=_Mixed(ConvNet(), optimizer=adam(3e-3)), train=train, validation=validation, epochs=6)


class _Map(Task):
    """Segmentation: each pixel of a digit is dark, grey or bright, of its clean self; the border does not count."""

    def loss(self, batch: Batch) -> Tensor:
        x = batch[0]
        y = (x[:, 0] > -0.3).long() + (x[:, 0] > 1.0)
        y[:, 0] = y[:, -1] = 255
        logits = self(x + 0.5 * torch.randn_like(x))
        loss = F.cross_entropy(logits, y, ignore_index=255)
        counts = (y != 255)[:, None]
        belief, truth = logits.softmax(1) * counts, F.one_hot(y.clamp(max=2), 3).movedim(-1, 1) * counts
        dice = 2 * (belief * truth).sum((0, 2, 3)) / (belief + truth).sum((0, 2, 3))
        return loss + 1 - dice.mean()


def segmentation() -> Program:
    train, validation = digits(images=True)
    net = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 3, 3, padding=1))
    return Program(module=_Map(net, optimizer=adam(5e-3)), train=train, validation=validation, epochs=6)


class _Counts(Task):
    """Poisson regression with an exposure; and a variance that the network states."""

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        x, exposure, count = batch
        log_rate, mean, log_variance = self(x).chunk(3, -1)
        counted = F.poisson_nll_loss(log_rate + exposure.log(), count)
        return counted + F.gaussian_nll_loss(mean, x[:, :1] * x[:, 1:2], log_variance.exp())


def counts_and_stated_variances() -> Program:
    x, exposure = torch.randn(1500, 4), torch.rand(1500, 1) + 0.5
    train, validation = loaders(x, exposure, torch.poisson(exposure * (0.5 * x[:, :1] + 1).exp()))
    return Program(module=_Counts(mlp(4, 3, depth=1)), train=train, validation=validation, epochs=15)


class _Survival(Task):
    """Cox regression: softmax over those of the batch who are still alive, most of all over the batch dimension."""

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        x, time, seen = batch
        order = time.argsort(descending=True)
        risk = self(x)[order, 0]
        return -((risk - risk.logcumsumexp(0)) * seen[order]).sum() / seen.sum()


def survival() -> Program:
    x = torch.randn(1200, 5)
    time = torch.distributions.Exponential((x[:, 0] - x[:, 1]).exp()).sample()
    train, validation = loaders(x, time, (torch.rand(1200) < 0.7).float())
    return Program(
        module=_Survival(mlp(5, 1, width=32, depth=1), optimizer=adam(3e-3)), train=train, validation=validation, epochs=12
    )


PROGRAMS = (
    log_cosh, flat_predictions, quantiles_by_broadcasting, log_probabilities, two_classes_with_a_sigmoid, two_classes_with_a_hinge,
    focal_loss, ordinal_regression, mixup_and_cutmix, segmentation, counts_and_stated_variances, survival,
)  # fmt: skip
