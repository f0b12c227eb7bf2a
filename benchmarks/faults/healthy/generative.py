"""Healthy programs without a plain target: generative, contrastive and self-supervised models, and reinforcement learning."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from benchmarks.faults.data import digits, loaders
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Manual, Program, Task, adam

Batch = tuple[Tensor, Tensor]


class _Variational(Task):
    def __init__(self) -> None:
        super().__init__(None)
        self.encode, self.decode = mlp(64, 16, depth=1), mlp(8, 64, depth=1)

    def loss(self, batch: Batch) -> Tensor:
        x = batch[0]
        mean, log_variance = self.encode(x).chunk(2, -1)
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
        return ((self.decode(code) - x).square().sum(1) + divergence).mean()


def variational_autoencoder() -> Program:
    train, validation = digits()
    return Program(module=_Variational(), train=train, validation=validation, epochs=20)


class _Adversaries(Manual):
    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh())
        self.judge = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(64, 1))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        real, noise = batch[0].clamp(-1, 1), torch.randn(len(batch[0]), 16)
        yes, no = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        maker, judge = self.optimizers()  # type: ignore[misc]
        self.toggle_optimizer(judge)
        logits = self.judge(torch.cat([real, self.make(noise).detach()]))
        verdict = F.binary_cross_entropy_with_logits(logits, torch.cat([yes, no]))
        self.step(judge, verdict)
        self.untoggle_optimizer(judge)
        self.toggle_optimizer(maker)
        self.step(maker, F.binary_cross_entropy_with_logits(self.judge(self.make(noise)), yes))
        self.untoggle_optimizer(maker)
        return verdict

    def configure_optimizers(self) -> Any:
        return [torch.optim.Adam(each.parameters(), 2e-4, betas=(0.5, 0.999)) for each in (self.make, self.judge)]


def adversaries_with_toggled_optimizers() -> Program:
    return Program(module=_Adversaries(), train=digits().train, epochs=20)


class _Critic(Manual):
    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh())
        self.judge = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        real, fake = batch[0].clamp(-1, 1), self.make(torch.randn(len(batch[0]), 16))
        maker, critic = self.optimizers()  # type: ignore[misc]
        loss = self.judge(fake.detach()).mean() - self.judge(real).mean()
        self.step(critic, loss)
        with torch.no_grad():
            for parameter in self.judge.parameters():
                parameter.clamp_(-0.05, 0.05)
        if batch_idx % 5 == 0:
            self.step(maker, -self.judge(fake).mean())
        return loss

    def configure_optimizers(self) -> Any:
        return [torch.optim.RMSprop(each.parameters(), 5e-5) for each in (self.make, self.judge)]


def critic_with_clipped_weights() -> Program:
    return Program(module=_Critic(), train=digits().train, epochs=30)


class _Bootstrap(Task):
    """Learns to predict its own slowly moving average, which is in train mode, too; written through `.data`, as MoCo is."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32)))
        self.target = copy.deepcopy(self.net).requires_grad_(False)
        self.predict = mlp(32, 32, depth=1, norm=nn.BatchNorm1d)

    def loss(self, batch: Batch) -> Tensor:
        one, other = (batch[0] + 0.3 * torch.randn_like(batch[0]) for _ in range(2))
        with torch.no_grad():
            target = self.target(other)
        return F.mse_loss(F.normalize(self.predict(self(one)), dim=1), F.normalize(target, dim=1))

    def on_train_batch_end(self, *args: object) -> None:
        for ours, theirs in zip(self.target.parameters(), self.net.parameters(), strict=True):  # type: ignore[union-attr]
            ours.data.mul_(0.98).add_(theirs.data, alpha=0.02)


def bootstrap_from_a_moving_average() -> Program:
    return Program(module=_Bootstrap(), train=digits(drop_last=True).train, epochs=20)


class _Contrast(Task):
    def loss(self, batch: Batch) -> Tensor:
        views = torch.cat([batch[0] + 0.2 * torch.randn_like(batch[0]) for _ in range(2)])
        codes = F.normalize(self(views), dim=1)
        alike = (codes @ codes.T / 0.2).fill_diagonal_(-1e9)
        return F.cross_entropy(alike, torch.arange(len(views)).roll(len(batch[0])))


def contrastive_pairs() -> Program:
    return Program(module=_Contrast(mlp(64, 32, depth=2)), train=digits(128, drop_last=True).train, epochs=25)


class _Margin(nn.Module):
    """The hinge falls silent when the model is good, and so do all gradients."""

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        apart = torch.cdist(codes, codes)
        same = labels[:, None] == labels[None]
        farthest, nearest = (apart * same).amax(1), (apart + 10 * same).amin(1)
        return F.relu(farthest - nearest + 0.2).mean()


def triplets_with_a_hinge() -> Program:
    module = Task(mlp(64, 16, depth=2))
    margin = _Margin()
    module._loss = lambda codes, labels: margin(F.normalize(codes, dim=1), labels)
    return Program(module=module, train=digits().train, epochs=40)


class _Coupling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(1, 2, nn.Tanh, width=32, depth=1)
        nn.init.zeros_(self.net[-1].weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.chunk(2, 1)
        scale, shift = self.net(first).chunk(2, 1)
        scale = 2 * torch.tanh(scale)
        return torch.cat([second * scale.exp() + shift, first], 1), scale.sum(1)


class _Flow(Task):
    """The density exceeds one, so its loss ends below zero."""

    def __init__(self) -> None:
        super().__init__(None)
        self.layers = nn.ModuleList(_Coupling() for _ in range(6))

    def loss(self, batch: Batch) -> Tensor:
        z, log_volume = batch[0], torch.zeros(len(batch[0]))
        for layer in self.layers:
            z, change = layer(z)
            log_volume = log_volume + change
        return -(torch.distributions.Normal(0, 1).log_prob(z).sum(1) + log_volume).mean()


def normalising_flow_with_negative_loss() -> Program:
    angle = 6.28 * torch.rand(1500)
    ring = 0.1 * torch.stack([angle.cos(), angle.sin()], 1) + 0.005 * torch.randn(1500, 2)
    train, validation = loaders(ring, angle)
    return Program(module=_Flow(), train=train, validation=validation, epochs=25)


class _Diffusion(Task):
    def loss(self, batch: Batch) -> Tensor:
        x, time, noise = batch[0], torch.rand(len(batch[0]), 1), torch.randn_like(batch[0])
        guess = self(torch.cat([(1 - time).sqrt() * x + time.sqrt() * noise, time], 1))
        return F.mse_loss(guess, noise)


def diffusion() -> Program:
    train, validation = digits()
    return Program(module=_Diffusion(mlp(65, 64, nn.SiLU, width=128)), train=train, validation=validation, epochs=25)


class _Stream(IterableDataset[Any]):
    def __init__(self, num_batches: int) -> None:
        self._num_batches = num_batches

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(self._num_batches):
            yield torch.randn(32, 4)


class _Bandit(Task):
    """A policy gradient has no level to compare with, and a sure policy saturates."""

    def __init__(self) -> None:
        super().__init__(mlp(4, 3, nn.Tanh, width=32, depth=2), optimizer=adam(3e-3))
        self.usual = 0.0

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        policy = torch.distributions.Categorical(logits=self(batch))
        action = policy.sample()
        reward = (action == batch[:, :3].argmax(1)).float()
        self.usual = 0.95 * self.usual + 0.05 * float(reward.mean())
        return -(policy.log_prob(action) * (reward - self.usual)).mean() - 0.01 * policy.entropy().mean()


def policy_gradient() -> Program:
    return Program(module=_Bandit(), train=DataLoader(_Stream(500), None), epochs=3)


class _Value(Task):
    """Its targets are its own predictions, so they have no chance level, and its loss rises with them."""

    def __init__(self) -> None:
        super().__init__(mlp(4, 2, width=32, depth=2))
        self.target = copy.deepcopy(self.net).requires_grad_(False)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        action = torch.randint(0, 2, (len(batch), 1))
        with torch.no_grad():
            goal = (action == (batch[:, :1] > 0)).float() + 0.97 * self.target(torch.randn_like(batch)).amax(1, keepdim=True)
        if batch_idx % 50 == 0:
            self.target.load_state_dict(self.net.state_dict())  # type: ignore[union-attr]
        return F.mse_loss(self(batch).gather(1, action), goal)


def bootstrapped_values() -> Program:
    return Program(module=_Value(), train=DataLoader(_Stream(500), None), epochs=3)


PROGRAMS = (
    variational_autoencoder, adversaries_with_toggled_optimizers, critic_with_clipped_weights, bootstrap_from_a_moving_average,
    contrastive_pairs, triplets_with_a_hinge, normalising_flow_with_negative_loss, diffusion, policy_gradient, bootstrapped_values,
)  # fmt: skip
