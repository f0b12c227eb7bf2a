"""Healthy programs on images."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import BackboneFinetuning
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from benchmarks.faults.data import digits
from benchmarks.faults.nets import ConvNet, trunk
from benchmarks.faults.program import Program, Task, adam, sgd


def conv_net_with_plain_sgd() -> Program:
    """The gradient of a bias before batch norm is rounding noise, so nothing moves it."""
    train, validation = digits(images=True)
    return Program(module=Task(ConvNet(), optimizer=sgd(0.01)), train=train, validation=validation, epochs=20)


def residual_net_with_one_cycle() -> Program:
    train, validation = digits(images=True)
    net = nn.Sequential(trunk(), nn.Linear(32, 10))
    schedule = partial(OneCycleLR, max_lr=0.2, total_steps=12 * len(train))
    module = Task(net, optimizer=sgd(0.1, momentum=0.9, weight_decay=5e-4), scheduler=schedule)
    return Program(module=module, train=train, validation=validation, epochs=12)


class _Fixup(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(1))
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.scale * self.second(F.relu(self.first(x))))


def zero_initialised_residual_ends() -> Program:
    train, validation = digits(images=True)
    head = nn.Linear(64, 10)
    nn.init.zeros_(head.weight)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), _Fixup(16), _Fixup(16), _Fixup(16), nn.AdaptiveAvgPool2d(2), nn.Flatten(), head
    )
    return Program(module=Task(net, optimizer=sgd(0.05, momentum=0.9)), train=train, validation=validation, epochs=12)


class _SqueezeAndExcite(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width // 4, 1), nn.SiLU(), nn.Conv2d(width // 4, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


def squeeze_and_excite() -> Program:
    """A gate that closes is no fault."""
    train, validation = digits(images=True)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), _SqueezeAndExcite(16), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        _SqueezeAndExcite(32), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    return Program(module=Task(net), train=train, validation=validation, epochs=25)


class _ConvNeXt(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.spread(x).permute(0, 2, 3, 1))
        h = self.scale * self.narrow(F.gelu(self.wide(h)))
        return x + h.permute(0, 3, 1, 2)


def channels_last_blocks_with_layer_scale() -> Program:
    train, validation = digits(images=True)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 2, 2), _ConvNeXt(16), _ConvNeXt(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(16),
        nn.Linear(16, 10),
    )  # fmt: skip
    return Program(module=Task(net, optimizer=adam(3e-3)), train=train, validation=validation, epochs=10)


class _UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep, self.last = (
            nn.Sequential(nn.Conv2d(num_in, num_out, 3, padding=1), nn.BatchNorm2d(num_out), nn.ReLU(inplace=True))
            for num_in, num_out in ((1, 8), (8, 16), (16, 8))
        )
        self.up, self.head = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down(x)
        second = self.up(self.deep(F.max_pool2d(first, 2)))
        return self.head(self.last(torch.cat([first, second], 1)))  # type: ignore[no-any-return]


class _Denoise(Task):
    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        clean = batch[0]
        return F.mse_loss(self(clean + 0.5 * torch.randn_like(clean)), clean)


def denoising_u_net() -> Program:
    train, validation = digits(images=True)
    return Program(module=_Denoise(_UNet()), train=train, validation=validation, epochs=12)


class _FrozenTrunk(Task):
    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 10), optimizer=adam(1e-2))
        self.trunk = trunk().requires_grad_(False)
        with torch.no_grad():
            for _ in range(100):  # the statistics of a trained network
                self.trunk(torch.randn(64, 1, 8, 8))

    def on_train_epoch_start(self) -> None:
        self.trunk.eval()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.trunk(x))


def fine_tuning_with_a_frozen_trunk_in_eval_mode() -> Program:
    train, validation = digits(images=True)
    return Program(module=_FrozenTrunk(), train=train, validation=validation, epochs=10)


class _Unfreezing(Task):
    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 10), optimizer=adam(3e-3))
        self.backbone = trunk()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.backbone(x))


def fine_tuning_that_unfreezes_later() -> Program:
    train, validation = digits(images=True)
    callbacks = [BackboneFinetuning(unfreeze_backbone_at_epoch=3, verbose=False)]
    return Program(module=_Unfreezing(), train=train, validation=validation, epochs=8, trainer={"callbacks": callbacks})


class _TeacherInEvalMode(Task):
    """The network is its own teacher, in eval mode, inside of the training step."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        self.eval()
        with torch.no_grad():
            belief = self(x).softmax(1)
        self.train()
        logits = self(x + 0.1 * torch.randn_like(x))
        return F.cross_entropy(logits, y) + 0.1 * F.kl_div(logits.log_softmax(1), belief, reduction="batchmean")


def teacher_pass_in_eval_mode() -> Program:
    train, validation = digits(images=True)
    return Program(module=_TeacherInEvalMode(ConvNet()), train=train, validation=validation, epochs=8)


class _Adversarial(Task):
    """Examples are attacked in eval mode, with gradients."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        self.eval()
        attacked = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(self(attacked), y), attacked)
        self.train()
        return self.loss((x + 0.1 * slope.sign(), y))


def adversarial_examples_in_eval_mode() -> Program:
    train, validation = digits(images=True)
    return Program(module=_Adversarial(ConvNet()), train=train, validation=validation, epochs=8)


class _Perceptual(Task):
    """Denoises images so that a frozen network sees no difference; a list keeps that network out of checkpoints."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1)))
        self.judges = [trunk().eval().requires_grad_(False)]

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        images = batch[0]
        cleaned = self(images + 0.5 * torch.randn_like(images))
        return F.l1_loss(cleaned, images) + F.mse_loss(self.judges[0](cleaned), self.judges[0](images))


def frozen_perceptual_net_in_a_list() -> Program:
    train, validation = digits(images=True)
    return Program(module=_Perceptual(), train=train, validation=validation, epochs=4)


PROGRAMS = (
    conv_net_with_plain_sgd, residual_net_with_one_cycle, zero_initialised_residual_ends, squeeze_and_excite,
    channels_last_blocks_with_layer_scale, denoising_u_net, fine_tuning_with_a_frozen_trunk_in_eval_mode,
    fine_tuning_that_unfreezes_later, teacher_pass_in_eval_mode, adversarial_examples_in_eval_mode,
    frozen_perceptual_net_in_a_list,
)  # fmt: skip
