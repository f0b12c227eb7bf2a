"""Healthy programs with several losses, several heads, or an optimizer for a number beside the network."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn

from benchmarks.faults.data import digits, loaders, table
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Manual, Program, Task, adam

Batch = tuple[Tensor, Tensor]


class _Turns(Task):
    """Each batch trains one of the heads."""

    def __init__(self) -> None:
        super().__init__(mlp(64, 64, depth=1))
        self.heads = nn.ModuleDict({"kind": nn.Linear(64, 10), "odd": nn.Linear(64, 2), "large": nn.Linear(64, 2)})

    def head_loss(self, name: str, batch: Batch) -> Tensor:
        x, y = batch
        targets = {"kind": y, "odd": y % 2, "large": (y > 4).long()}
        return F.cross_entropy(self.heads[name](F.relu(self(x))), targets[name])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.head_loss(list(self.heads)[batch_idx % 3], batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        for name in self.heads:
            self.log(f"val_{name}", self.head_loss(name, batch), batch_size=1)


def heads_that_take_turns() -> Program:
    train, validation = digits()
    return Program(module=_Turns(), train=train, validation=validation, epochs=15)


class _ByDomain(Task):
    """One head for each domain; the smaller loader ends first, and then there is no batch of it."""

    def __init__(self) -> None:
        super().__init__(None)
        self.digits, self.wine = mlp(64, 10, depth=1), mlp(13, 3, depth=1)

    def training_step(self, batch: list[Batch | None], batch_idx: int) -> Tensor:
        nets = zip((self.digits, self.wine), batch, strict=True)
        return torch.stack([F.cross_entropy(net(each[0]), each[1]) for net, each in nets if each is not None]).sum()

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        net = (self.digits, self.wine)[dataloader_idx]
        self.log("val_loss", F.cross_entropy(net(batch[0]), batch[1]), batch_size=1)


def loaders_of_different_lengths() -> Program:
    first, second = digits(), table("wine", 16)
    train = CombinedLoader([first.train, second.train], "max_size")
    return Program(module=_ByDomain(), train=train, validation=[first.validation, second.validation], epochs=12)


class _Uncertain(Manual):
    """Weighs its losses by variances that are learnt by an optimizer of their own; the loss may fall below zero."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.kind, self.ink = mlp(64, 64, depth=1), nn.Linear(64, 10), nn.Linear(64, 1)
        self.log_variance = nn.Parameter(torch.zeros(2))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        h = F.relu(self.net(x))
        losses = torch.stack([F.cross_entropy(self.kind(h), y), F.mse_loss(self.ink(h), x.mean(1, keepdim=True))])
        loss = (losses * (-self.log_variance).exp() + 0.5 * self.log_variance).sum()
        optimizers = self.optimizers()
        for optimizer in optimizers:  # type: ignore[union-attr]
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in optimizers:  # type: ignore[union-attr]
            optimizer.step()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        nets = [each for name, each in self.named_parameters() if name != "log_variance"]
        return torch.optim.Adam(nets, 1e-3), torch.optim.SGD([self.log_variance], 1e-2)


def losses_weighed_by_learnt_variances() -> Program:
    return Program(module=_Uncertain(), train=digits().train, epochs=15)


class _Balanced(Manual):
    """GradNorm: weights of losses are trained so that tasks learn at one speed, by gradients of gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.kind, self.odd = mlp(64, 64, depth=1), nn.Linear(64, 10), nn.Linear(64, 2)
        self.weights = nn.Parameter(torch.ones(2))
        self.first: Tensor | None = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        h = F.relu(self.net(x))
        losses = torch.stack([F.cross_entropy(self.kind(h), y), F.cross_entropy(self.odd(h), y % 2)])
        self.first = losses.detach() if self.first is None else self.first
        shared = self.net[-1].weight
        norms = torch.stack([torch.autograd.grad(each, shared, create_graph=True)[0].norm() for each in self.weights * losses])
        speed = losses.detach() / self.first
        goal = (norms.mean() * (speed / speed.mean()) ** 0.5).detach()
        balance = (norms - goal).abs().sum()
        optimizer, weigher = self.optimizers()  # type: ignore[misc]
        weigher.zero_grad()
        self.weights.grad = torch.autograd.grad(balance, self.weights, retain_graph=True)[0]
        weigher.step()
        self.step(optimizer, (self.weights.detach() * losses).sum())
        with torch.no_grad():
            self.weights.mul_(2 / self.weights.sum())
        self.log("train_loss", losses.sum(), on_step=False, on_epoch=True)
        return losses.sum()

    def configure_optimizers(self) -> Any:
        nets = [each for name, each in self.named_parameters() if name != "weights"]
        return torch.optim.Adam(nets, 1e-3), torch.optim.Adam([self.weights], 1e-2)


def losses_balanced_by_their_gradients() -> Program:
    return Program(module=_Balanced(), train=digits().train, epochs=10)


class _Supervised(Task):
    """A head after each layer, all of which are trained; the last one counts."""

    def __init__(self) -> None:
        super().__init__(None)
        self.layers = nn.ModuleList([nn.Linear(64, 48), nn.Linear(48, 48), nn.Linear(48, 48)])
        self.heads = nn.ModuleList(nn.Linear(48, 10) for _ in range(3))

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        total = torch.zeros(())
        for layer, head, weight in zip(self.layers, self.heads, (0.2, 0.3, 1.0), strict=True):
            x = F.relu(layer(x))
            total = total + weight * F.cross_entropy(head(x), y)
        return total


def deep_supervision() -> Program:
    train, validation = digits()
    return Program(module=_Supervised(), train=train, validation=validation, epochs=10)


class _Auxiliary(Task):
    """A head that works in training alone, and one that is called only for samples of a rare kind."""

    def __init__(self) -> None:
        super().__init__(mlp(64, 64, depth=1))
        self.head, self.rows, self.rare = nn.Linear(64, 10), nn.Linear(64, 8), nn.Linear(64, 1)

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        h = F.relu(self(x))
        loss = F.cross_entropy(self.head(h), y)
        if self.training:
            loss = loss + 0.1 * F.mse_loss(self.rows(h), x.view(-1, 8, 8).mean(2))
        if (dark := x.mean(1) > 0.12).any():
            loss = loss + 0.1 * F.binary_cross_entropy_with_logits(self.rare(h[dark])[:, 0], (y[dark] % 2).float())
        return loss


def heads_for_some_samples() -> Program:
    train, validation = digits(16)
    return Program(module=_Auxiliary(), train=train, validation=validation, epochs=5)


class _Stochastic(nn.Module):
    """Residual blocks that are skipped at random in training."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(48), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 48)) for _ in range(6)
        )
        self.stem, self.head = nn.Linear(64, 48), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            keep = 1 - 0.1 * i
            if not self.training:
                x = x + keep * block(x)
            elif torch.rand(()) < keep:
                x = x + block(x)
        return self.head(x)  # type: ignore[no-any-return]


def stochastic_depth() -> Program:
    train, validation = digits()
    return Program(module=Task(_Stochastic()), train=train, validation=validation, epochs=8)


class _Mixture(Task):
    """Mixture density: three normals for a target that has two values for one input; the loss is a negative log-likelihood."""

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        weight, mean, log_scale = self(x).chunk(3, -1)
        each = torch.distributions.Normal(mean, log_scale.exp().clamp(min=1e-2)).log_prob(y)
        return -(weight.log_softmax(-1) + each).logsumexp(-1).mean()


def mixture_density() -> Program:
    x = torch.rand(1500, 1) * 2 - 1
    y = x.sign() * (torch.randint(0, 2, x.shape) * 2 - 1) * x.abs().sqrt() + 0.05 * torch.randn_like(x)
    train, validation = loaders(x, y)
    return Program(
        module=_Mixture(mlp(1, 9, nn.Tanh, depth=2), optimizer=adam(3e-3)), train=train, validation=validation, epochs=20
    )


PROGRAMS = (
    heads_that_take_turns, loaders_of_different_lengths, losses_weighed_by_learnt_variances, losses_balanced_by_their_gradients,
    deep_supervision, heads_for_some_samples, stochastic_depth, mixture_density,
)  # fmt: skip
