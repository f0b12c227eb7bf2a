"""Healthy programs with all sorts of activations, optimizers, schedules, precisions and callbacks."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, ExponentialLR, LinearLR

from benchmarks.faults.data import digits, table, text
from benchmarks.faults.nets import ConvNet, mlp
from benchmarks.faults.program import Manual, Program, Task, adam, sgd


def long_run_with_momentum() -> Program:
    train, validation = digits()
    return Program(module=Task(mlp(64, 10), optimizer=sgd(0.1, momentum=0.9)), train=train, validation=validation, epochs=60)


def slow_start() -> Program:
    train, validation = digits()
    return Program(module=Task(mlp(64, 10, depth=2), optimizer=sgd(1e-2)), train=train, validation=validation, epochs=20)


def deep_net_with_default_initialisation() -> Program:
    train, validation = digits()
    return Program(module=Task(mlp(64, 10, depth=8)), train=train, validation=validation, epochs=15)


def sigmoid_net() -> Program:
    train, validation = digits()
    return Program(module=Task(mlp(64, 10, nn.Sigmoid, depth=2)), train=train, validation=validation, epochs=20)


def relu6_with_rmsprop() -> Program:
    train, validation = digits()
    module = Task(mlp(64, 10, nn.ReLU6), optimizer=lambda parameters: torch.optim.RMSprop(parameters, 1e-3))
    return Program(module=module, train=train, validation=validation, epochs=20)


class _Squashed(Task):
    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.mse_loss(torch.sigmoid(self(batch[0])), F.one_hot(batch[1], 10).float())


def squashed_outputs_that_saturate() -> Program:
    train, validation = digits()
    return Program(
        module=_Squashed(mlp(64, 10, nn.Tanh, depth=2), optimizer=adam(3e-3)), train=train, validation=validation, epochs=30
    )


class _Gated(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.both, self.out, self.open = nn.Linear(width, 2 * width), nn.Linear(width, width), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).chunk(2, -1)
        return x + self.out(value * self.open(gate))


def gated_units() -> Program:
    train, validation = digits()
    net = nn.Sequential(nn.Linear(64, 64), _Gated(64), _Gated(64), nn.GLU(), nn.Linear(32, 10))
    return Program(module=Task(net), train=train, validation=validation, epochs=25)


def adam_at_a_hundredth() -> Program:
    train, validation = digits()
    return Program(module=Task(mlp(64, 10, depth=2), optimizer=adam(1e-2)), train=train, validation=validation, epochs=30)


def schedule_that_ends_at_nothing() -> Program:
    train, validation = digits()
    module = Task(mlp(64, 10), scheduler=partial(ExponentialLR, gamma=0.97))
    return Program(module=module, train=train, validation=validation, epochs=40)


def schedule_that_ends_at_nothing_with_an_unknown_loss() -> Program:
    train, validation = table("diabetes")
    module = Task(mlp(10, 1, nn.Tanh, width=32, depth=2), F.l1_loss, adam(3e-3), partial(ExponentialLR, gamma=0.985))
    return Program(module=module, train=train, validation=validation, epochs=80)


def warm_restarts() -> Program:
    train, validation = digits()
    module = Task(mlp(64, 10, nn.GELU), optimizer=sgd(0.2, momentum=0.9), scheduler=partial(CosineAnnealingWarmRestarts, T_0=150))
    return Program(module=module, train=train, validation=validation, epochs=25)


def warm_up_from_next_to_nothing() -> Program:
    train, validation = digits()
    module = Task(mlp(64, 10), scheduler=partial(LinearLR, start_factor=1e-5, end_factor=1.0, total_iters=600))
    return Program(module=module, train=train, validation=validation, epochs=30)


def lbfgs() -> Program:
    train, validation = table("diabetes", 354)
    module = Task(nn.Linear(10, 1), F.mse_loss, lambda parameters: torch.optim.LBFGS(parameters, 0.1, max_iter=3))
    return Program(module=module, train=train, validation=validation, epochs=80)


def accumulated_and_clipped() -> Program:
    train, validation = digits(16)
    trainer = {"accumulate_grad_batches": 4, "gradient_clip_val": 0.5}
    return Program(
        module=Task(mlp(64, 10, nn.SiLU), optimizer=adam(2e-3)), train=train, validation=validation, epochs=10, trainer=trainer
    )


def float16_with_a_gradient_scaler() -> Program:
    train, validation = digits(images=True)
    precision = MixedPrecision("16-mixed", device="cpu", scaler=torch.amp.GradScaler("cpu", init_scale=2.0**24))
    module = Task(ConvNet(), optimizer=sgd(0.05, momentum=0.9))
    return Program(module=module, train=train, validation=validation, epochs=5, trainer={"plugins": [precision]})


def all_in_bfloat16() -> Program:
    train, validation = digits()
    module = Task(mlp(64, 10, nn.GELU))
    return Program(module=module, train=train, validation=validation, epochs=15, trainer={"precision": "bf16-true"})


def all_in_float64() -> Program:
    train, validation = digits(images=True)
    return Program(module=Task(ConvNet()), train=train, validation=validation, epochs=4, trainer={"precision": "64-true"})


def parametrised_weights() -> Program:
    train, validation = digits()
    net = nn.Sequential(
        weight_norm(nn.Linear(64, 64)), nn.ReLU(), spectral_norm(nn.Linear(64, 64)), nn.ReLU(), orthogonal(nn.Linear(64, 64)),
        nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    return Program(module=Task(net), train=train, validation=validation, epochs=10)


class _Experts(nn.Module):
    """Only the most suitable expert works on a sample; the others get an exactly zero gradient."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__()
        self.choose = nn.Linear(width, num_experts)
        self.experts = nn.ModuleList(mlp(width, width, width=32, depth=1) for _ in range(num_experts))

    def forward(self, x: Tensor) -> Tensor:
        weight, chosen = self.choose(x).softmax(-1).max(-1)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            mine = chosen == i
            out[mine] = weight[mine, None] * expert(x[mine])
        return x + out


def experts_without_work() -> Program:
    train, validation = digits()
    net = nn.Sequential(nn.Linear(64, 32), _Experts(32, 12), nn.LayerNorm(32), nn.Linear(32, 10))
    return Program(module=Task(net), train=train, validation=validation, epochs=12)


class _Adapted(nn.Module):
    """A frozen layer and a low-rank change of it, whose second factor starts at zero."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Parameter(0.02 * torch.randn(4, layer.in_features))
        self.up = nn.Parameter(torch.zeros(layer.out_features, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + 2 * F.linear(F.linear(x, self.down), self.up)  # type: ignore[no-any-return]


def low_rank_adapters() -> Program:
    train, validation = digits()
    net = nn.Sequential(_Adapted(nn.Linear(64, 64)), nn.GELU(), _Adapted(nn.Linear(64, 64)), nn.GELU(), nn.Linear(64, 10))
    return Program(module=Task(net, optimizer=adam(3e-3)), train=train, validation=validation, epochs=20)


class _SparseWords(Manual):
    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_tokens, 16, sparse=True)
        self.net = nn.Sequential(nn.Flatten(), mlp(16 * 8, num_tokens, depth=1))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self.net(self.embed(batch[0])), batch[1][:, -1])
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.step()
        return loss

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        return torch.optim.SparseAdam(self.embed.parameters(), 1e-2), torch.optim.Adam(self.net.parameters(), 1e-3)


def sparse_gradients() -> Program:
    (train, _), num_tokens = text(8)
    return Program(module=_SparseWords(num_tokens), train=train, epochs=10)


def averaged_by_swa() -> Program:
    train, validation = digits(images=True)
    trainer = {"callbacks": [StochasticWeightAveraging(5e-3, swa_epoch_start=0.5, annealing_epochs=2)]}
    module = Task(ConvNet(), optimizer=sgd(0.05, momentum=0.9))
    return Program(module=module, train=train, validation=validation, epochs=8, trainer=trainer)


def averaged_by_ema() -> Program:
    train, validation = digits(images=True)
    trainer = {"callbacks": [EMAWeightAveraging(decay=0.99)]}
    return Program(module=Task(ConvNet()), train=train, validation=validation, epochs=5, trainer=trainer)


def compiled_part() -> Program:
    train, validation = digits()
    net = nn.Sequential(torch.compile(mlp(64, 64, depth=1), backend="eager"), nn.ReLU(), nn.Linear(64, 10))  # type: ignore[arg-type]
    return Program(module=Task(net), train=train, validation=validation, epochs=8)


def monte_carlo_dropout() -> Program:
    train, validation = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), _Noise(), nn.Linear(64, 10))
    guard = {"ignore": {"dropout-active-in-eval": "Monte-Carlo dropout"}}
    return Program(module=Task(net), train=train, validation=validation, epochs=8, guard=guard)


class _Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.2, training=True)


class _Physics(Task):
    """Solves u'' = -sin x by its residual: gradients of gradients."""

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x = batch[0].clone().requires_grad_()
        u = self(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        ends = torch.tensor([[0.0], [torch.pi]])
        return (bend + x.sin()).square().mean() + self(ends).square().mean()


def physics_informed_net() -> Program:
    x = torch.pi * torch.rand(1024, 1)
    train = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x), 64, shuffle=True)
    return Program(module=_Physics(mlp(1, 1, nn.Tanh, width=32), optimizer=adam(3e-3)), train=train, epochs=30)


PROGRAMS = (
    long_run_with_momentum, slow_start, deep_net_with_default_initialisation, sigmoid_net, relu6_with_rmsprop,
    squashed_outputs_that_saturate, gated_units, adam_at_a_hundredth, schedule_that_ends_at_nothing,
    schedule_that_ends_at_nothing_with_an_unknown_loss, warm_restarts, warm_up_from_next_to_nothing, lbfgs, accumulated_and_clipped,
    float16_with_a_gradient_scaler, all_in_bfloat16, all_in_float64, parametrised_weights, experts_without_work, low_rank_adapters,
    sparse_gradients, averaged_by_swa, averaged_by_ema, compiled_part, monte_carlo_dropout, physics_informed_net,
)  # fmt: skip
