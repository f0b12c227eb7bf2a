"""Healthy programs of reinforcement learning: losses are negated values and rewards, targets are stopped, optimizers are many."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Manual, Program


class _States(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(150):
            yield torch.randn(32, 4)


def _states() -> Any:
    return DataLoader(_States(), None)


class _ActorCritic(Manual):
    """One action, one reward; actor and critic share their first layer and an optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = True
        self.trunk, self.actor, self.critic = mlp(4, 32, nn.Tanh, width=32, depth=1), nn.Linear(32, 3), nn.Linear(32, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        h = torch.tanh(self.trunk(batch))
        policy, value = torch.distributions.Categorical(logits=self.actor(h)), self.critic(h).squeeze(-1)
        action = policy.sample()
        reward = (action == batch[:, :3].argmax(1)).float()
        self.log("reward", reward.mean(), on_step=False, on_epoch=True)
        gain = reward - value
        return -(policy.log_prob(action) * gain.detach()).mean() + 0.5 * gain.square().mean() - 0.01 * policy.entropy().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 3e-3)


def actor_critic() -> Program:
    return Program(module=_ActorCritic(), train=_states(), epochs=4)


class _Proximal(Manual):
    """The policy of a while ago is compared with today's, several times over."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = mlp(4, 3, nn.Tanh, width=32, depth=1)

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        with torch.no_grad():
            policy = torch.distributions.Categorical(logits=self.actor(batch))
            action = policy.sample()
            past = policy.log_prob(action)
            reward = (action == batch[:, :3].argmax(1)).float()
            gain = (reward - reward.mean()) / (reward.std() + 1e-6)
        for _ in range(3):
            ratio = (torch.distributions.Categorical(logits=self.actor(batch)).log_prob(action) - past).exp()
            self.step(self.optimizers(), -torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean())
        self.log("reward", reward.mean(), on_step=False, on_epoch=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.actor.parameters(), 3e-3)


def proximal_policy() -> Program:
    return Program(module=_Proximal(), train=_states(), epochs=2)


class _SoftActorCritic(Manual):
    """Two critics, their slow copies, an actor that climbs them, and a temperature with an optimizer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = mlp(4, 2, width=32, depth=1)
        self.critics = nn.ModuleList(mlp(5, 1, width=32, depth=1) for _ in range(2))
        self.slow = copy.deepcopy(self.critics).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def act(self, state: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = self.actor(state).chunk(2, -1)
        policy = torch.distributions.Normal(mean, log_scale.clamp(-4, 1).exp())
        raw = policy.rsample()
        return torch.tanh(raw), policy.log_prob(raw) - torch.log(1 - torch.tanh(raw).square() + 1e-6)

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        actors, critics, temperatures = self.optimizers()  # type: ignore[misc]
        temperature = self.log_temperature.exp().detach()
        with torch.no_grad():
            action = self.act(batch)[0]
            reward = 1 - (action - torch.tanh(batch[:, :1])).square()
            following, log_probability = self.act(after := torch.randn_like(batch))
            both = torch.stack([critic(torch.cat([after, following], 1)) for critic in self.slow])
            goal = reward + 0.5 * (both.amin(0) - temperature * log_probability)
        pair = torch.cat([batch, action], 1)
        self.step(critics, sum(F.mse_loss(critic(pair), goal) for critic in self.critics))  # type: ignore[arg-type]
        action, log_probability = self.act(batch)
        best = torch.stack([critic(torch.cat([batch, action], 1)) for critic in self.critics]).amin(0)
        self.step(actors, (temperature * log_probability - best).mean())
        self.step(temperatures, -(self.log_temperature.exp() * (log_probability + 1.0).detach()).mean())
        with torch.no_grad():
            for slow, fast in zip(self.slow.parameters(), self.critics.parameters(), strict=True):
                slow.lerp_(fast, 0.02)
        self.log("reward", reward.mean(), on_step=False, on_epoch=True)

    def configure_optimizers(self) -> Any:
        return (
            torch.optim.Adam(self.actor.parameters(), 3e-3), torch.optim.Adam(self.critics.parameters(), 3e-3),
            torch.optim.Adam([self.log_temperature], 3e-3),
        )  # fmt: skip


def soft_actor_critic() -> Program:
    return Program(module=_SoftActorCritic(), train=_states(), epochs=2)


PROGRAMS = (actor_critic, proximal_policy, soft_actor_critic)
