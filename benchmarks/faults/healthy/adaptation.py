"""Healthy programs of which only some parameters are trained, or only some of the time."""

from __future__ import annotations

import copy
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import BaseFinetuning
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.faults.data import digits, loaders
from benchmarks.faults.nets import ConvNet, mlp, trunk
from benchmarks.faults.program import Program, Task, adam

Batch = tuple[Tensor, Tensor]


def _taught() -> nn.Module:
    """Return a network that tells small digits from large ones and has been trained to do so."""
    x, y = digits().train.dataset.tensors
    net = mlp(64, 2, depth=2)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(x), (y > 4).long()).backward()
        optimizer.step()
    return net


class _HeadAlone(Task):
    """The backbone asks for gradients, but runs without, and the optimizer knows the head alone."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(64, 10))
        self.backbone = _taught()[:-1]  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.backbone(x)
        return super().forward(features)

    def configure_optimizers(self) -> Optimizer:
        return torch.optim.Adam(self.net.parameters(), 1e-2)  # type: ignore[union-attr]


def head_alone_over_a_backbone_without_gradients() -> Program:
    train, validation = digits()
    return Program(module=_HeadAlone(), train=train, validation=validation, epochs=8)


class _Probe(Task):
    """A linear probe: the backbone is frozen and in eval mode for good, detached, and in a list where nobody trains it."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(64, 10), optimizer=adam(1e-2))
        self.backbone = [_taught()[:-1].eval().requires_grad_(False)]  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.backbone[0](x).detach())


def linear_probe() -> Program:
    train, validation = digits()
    return Program(module=_Probe(), train=train, validation=validation, epochs=8)


class _Thaw(BaseFinetuning):
    """Unfreezes the last block at the third epoch and hands it to the optimizer."""

    def freeze_before_training(self, pl_module: pl.LightningModule) -> None:
        self.freeze(pl_module.trunk)  # type: ignore[arg-type]

    def finetune_function(self, pl_module: pl.LightningModule, epoch: int, optimizer: Optimizer) -> None:
        if epoch == 2:
            self.unfreeze_and_add_param_group(pl_module.trunk[4], optimizer, lr=1e-3)  # type: ignore[index]


class _Trunk(Task):
    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 10), optimizer=adam(1e-2))
        self.trunk = trunk()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.trunk(x))


def fine_tuning_that_thaws_the_last_block() -> Program:
    train, validation = digits(images=True)
    return Program(module=_Trunk(), train=train, validation=validation, epochs=5, trainer={"callbacks": [_Thaw()]})


def biases_and_the_head_alone() -> Program:
    train, validation = digits()
    net = _taught()
    net[-1] = nn.Linear(64, 10)  # type: ignore[operator]
    for name, parameter in net.named_parameters():
        parameter.requires_grad_("bias" in name or name.startswith("4"))
    return Program(module=Task(net, optimizer=adam(3e-3)), train=train, validation=validation, epochs=8)


class _Distilled(Task):
    """Learns from a teacher that is hidden in a list, at a temperature, and from the labels."""

    def __init__(self) -> None:
        super().__init__(mlp(64, 10, width=24, depth=1), optimizer=adam(3e-3))
        x, y = digits(images=True).train.dataset.tensors
        teacher = ConvNet()
        optimizer = torch.optim.Adam(teacher.parameters(), 3e-3)
        for mine in torch.randperm(len(x))[:1280].split(128):
            optimizer.zero_grad()
            F.cross_entropy(teacher(x[mine]), y[mine]).backward()
            optimizer.step()
        self.teacher = [teacher.eval()]

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        logits = self(x)
        with torch.no_grad():
            belief = (self.teacher[0](x.view(-1, 1, 8, 8)) / 4).softmax(-1)
        soft = F.kl_div((logits / 4).log_softmax(-1), belief, reduction="batchmean") * 16
        return 0.7 * soft + 0.3 * F.cross_entropy(logits, y)


def distillation_from_a_hidden_teacher() -> Program:
    train, validation = digits()
    return Program(module=_Distilled(), train=train, validation=validation, epochs=10)


class _MeanTeacher(Task):
    """Half of the samples have no label: they agree with the average of the network over time, which is written in place."""

    def __init__(self) -> None:
        super().__init__(mlp(64, 10, depth=2))
        self.teacher = copy.deepcopy(self.net).eval().requires_grad_(False)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        with torch.no_grad():
            for theirs, ours in zip(self.teacher.parameters(), self.net.parameters(), strict=True):  # type: ignore[union-attr]
                theirs.lerp_(ours, 0.05)
            belief = self.teacher(x).softmax(1)
        logits = self(x + 0.2 * torch.randn_like(x))
        half = len(x) // 2
        return F.cross_entropy(logits[:half], y[:half]) + F.mse_loss(logits.softmax(1), belief)


def mean_teacher() -> Program:
    train, validation = digits()
    return Program(module=_MeanTeacher(), train=train, validation=validation, epochs=10)


class _RandomFeatures(Task):
    """Kernel regression with random features, which are frozen; and a spare layer, frozen too, which nobody calls."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(256, 1, bias=False), F.mse_loss, adam(1e-2))
        self.random, self.spare = nn.Linear(3, 256).requires_grad_(False), nn.Linear(3, 3).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.cos(2 * self.random(x)) / 16)


def random_features() -> Program:
    x = torch.randn(1500, 3)
    train, validation = loaders(x, torch.sin(2 * x[:, :1]) * x[:, 1:2])
    return Program(module=_RandomFeatures(), train=train, validation=validation, epochs=20)


class _Prompted(Task):
    """Learns a change of the input for a network that stays as it is, and its last layer from nothing."""

    def __init__(self) -> None:
        super().__init__(None)
        self.frozen = _taught().requires_grad_(False)
        self.prompt = nn.Parameter(torch.zeros(64))
        self.head = nn.Linear(66, 10)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        features = F.relu(self.frozen[:-1](x + self.prompt))  # type: ignore[index]
        return self.head(torch.cat([features, self.frozen[-1](features)], 1))  # type: ignore[no-any-return, index]

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(
            [{"params": [self.prompt], "lr": 1e-2, "weight_decay": 0.0}, {"params": self.head.parameters()}], 3e-3
        )


def learnt_prompt() -> Program:
    train, validation = digits()
    return Program(module=_Prompted(), train=train, validation=validation, epochs=8)


class _LateEncoder(Task):
    """The head is trained alone for three epochs, with gradients switched off in the encoder, which the optimizer holds already."""

    def __init__(self) -> None:
        super().__init__(mlp(64, 64, depth=1))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.training and self.current_epoch >= 3):
            features = super().forward(x)
        return self.head(F.relu(features))  # type: ignore[no-any-return]


def encoder_that_is_trained_from_the_fourth_epoch_on() -> Program:
    train, validation = digits()
    return Program(module=_LateEncoder(), train=train, validation=validation, epochs=8)


PROGRAMS = (
    encoder_that_is_trained_from_the_fourth_epoch_on,
    head_alone_over_a_backbone_without_gradients, linear_probe, fine_tuning_that_thaws_the_last_block, biases_and_the_head_alone,
    distillation_from_a_hidden_teacher, mean_teacher, random_features, learnt_prompt,
)  # fmt: skip
