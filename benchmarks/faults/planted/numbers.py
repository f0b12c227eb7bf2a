"""Faults that the numbers of a run show: inputs, activations, gradients, updates, modes, losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.faults.data import digits, loaders, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import ConvNet, Decoder, Recurrent, mlp, next_token, trunk
from benchmarks.faults.program import Manual, Program, Task, adam, sgd

Batch = tuple[Tensor, Tensor]


def _on_digits(net: nn.Module, *, epochs: int, batch_size: int = 64, images: bool = False, **changes: Any) -> Program:
    train, validation = digits(batch_size, images=images)
    return Program(module=Task(net, **changes), train=train, validation=validation, epochs=epochs)


def _of(task: Task, *, epochs: int, images: bool = False, **trainer: Any) -> Program:
    train, validation = digits(images=images)
    return Program(module=task, train=train, validation=validation, epochs=epochs, trainer=trainer)


# -- NNG1xx data


def nan_in_one_sample() -> Program:
    train, validation = digits()
    train.dataset.tensors[0][700, 3] = torch.nan  # type: ignore[attr-defined]
    return Program(module=Task(mlp(64, 10)), train=train, validation=validation, epochs=2)


# -- NNG3xx activations


class _Functional(nn.Module):
    def __init__(self, cut: Callable[[Tensor], Tensor], bias: float = 0.0) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(64, 64), nn.Linear(64, 10)
        self.cut = cut
        nn.init.constant_(self.first.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cut(self.first(x)))  # type: ignore[no-any-return]


def relu_dead_from_its_bias() -> Program:
    return _on_digits(_Functional(F.relu, bias=-9.0), epochs=30, batch_size=256)


def clamp_dead_from_its_bias() -> Program:
    return _on_digits(_Functional(lambda x: x.clamp_min(0), bias=-9.0), epochs=30, batch_size=256)


def relus_killed_by_the_learning_rate() -> Program:
    return _on_digits(mlp(64, 10, depth=2), epochs=40, batch_size=256, optimizer=sgd(5.0))


def dead_filters() -> Program:
    net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    nn.init.constant_(net[2].bias, -9.0)
    return _on_digits(net, epochs=30, batch_size=256, images=True)


def saturated_by_unscaled_inputs() -> Program:
    x = 300 * torch.randn(2000, 10) + 1000
    train, validation = loaders(x, (x[:, 0] > 1000).long())
    net = mlp(10, 2, nn.Sigmoid, width=32, depth=2)
    return Program(module=Task(net, optimizer=sgd(1e-2)), train=train, validation=validation, epochs=16)


def saturated_by_initialisation() -> Program:
    train, validation = digits()
    labels = train.dataset.tensors[1]  # type: ignore[attr-defined]
    labels.copy_(labels[torch.randperm(len(labels))])
    net = mlp(64, 10, nn.Tanh)
    _initialise(net, 3.0)
    return Program(module=Task(net, optimizer=sgd(1e-2)), train=train, validation=validation, epochs=12)


def _initialise(net: nn.Sequential, std: float) -> None:
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)


def logarithm_of_zero() -> Program:
    return _on_digits(_Functional(lambda x: torch.log(F.relu(x))), epochs=1)


class _Standardise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)


def division_by_zero_in_a_rare_sample() -> Program:
    train, validation = digits()
    train.dataset.tensors[0][900] = 0.0  # type: ignore[attr-defined]
    net = nn.Sequential(_Standardise(), nn.Linear(64, 10))
    return Program(module=Task(net), train=train, validation=validation, epochs=2)


def activations_that_vanish() -> Program:
    net = mlp(64, 10, nn.Tanh, depth=8)
    _initialise(net, 0.005)
    return _on_digits(net, epochs=5, optimizer=sgd(1e-2))


class _Doubling(Task):
    """A scale that grows without end, behind a normalisation that hides it."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(64, 64))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.layer_norm(super().forward(x), (64,)))  # type: ignore[no-any-return]

    def on_train_batch_end(self, *args: object) -> None:
        with torch.no_grad():
            self.net.weight.mul_(1.2)  # type: ignore[union-attr, operator]


def activations_that_explode() -> Program:
    return _of(_Doubling(), epochs=4)


def next_to_float16_overflow() -> Program:
    task = _Doubling()
    nn.init.normal_(task.net.weight, std=1200)  # type: ignore[union-attr, arg-type]
    task.on_train_batch_end = lambda *args: None  # type: ignore[method-assign]
    scaler = MixedPrecision("16-mixed", device="cpu", scaler=torch.amp.GradScaler("cpu"))
    return _of(task, epochs=3, plugins=[scaler])


# -- NNG4xx gradients


class _ZeroRoot(nn.Module):
    """The root of a square is fine at zero; its derivative is 0 / 0."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x) * (x[:, :1] > 0)
        return self.head(h.square().sqrt())  # type: ignore[no-any-return]


def root_of_zero_in_backward() -> Program:
    return _on_digits(_ZeroRoot(), epochs=1)


def deep_sigmoids() -> Program:
    return _on_digits(mlp(64, 10, nn.Sigmoid, depth=8), epochs=5, optimizer=sgd(0.1))


class _Scaled(Task):
    """The loss is a thousand times larger from step 250 on."""

    def loss(self, batch: Batch) -> Tensor:
        loss = super().loss(batch)
        return loss * 1000 if self.training and self.global_step >= 250 else loss


def gradients_that_explode() -> Program:
    return _of(_Scaled(mlp(64, 10, nn.Tanh), optimizer=lambda parameters: torch.optim.Adam(parameters, 1e-4)), epochs=30)


class _IgnoredBranch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.ignored = mlp(64, 10), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x) + 0.0 * self.ignored(x)  # type: ignore[no-any-return]


def branch_times_zero() -> Program:
    return _on_digits(_IgnoredBranch(), epochs=5)


def rounded_features() -> Program:
    return _on_digits(_Functional(torch.round), epochs=5)


# -- NNG5xx updates


class _Clipped(Task):
    def on_train_batch_end(self, *args: object) -> None:
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.clamp_(-0.02, 0.02)


def updates_too_large_for_clipped_weights() -> Program:
    net = mlp(64, 10, nn.Tanh)
    return _of(_Clipped(net, optimizer=lambda parameters: torch.optim.RMSprop(parameters, 5e-3)), epochs=5)


def learning_rate_of_a_billionth() -> Program:
    return _on_digits(mlp(64, 10), epochs=5, optimizer=adam(1e-9))


def sgd_with_a_rate_for_adam() -> Program:
    return _on_digits(mlp(64, 10), epochs=5, optimizer=sgd(1e-6))


class _HeadOnly(Task):
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net[-1].parameters(), 1e-3)  # type: ignore[index]


def trunk_in_no_optimizer() -> Program:
    return _of(_HeadOnly(mlp(64, 10)), epochs=3)


class _Replaced(Task):
    def on_train_start(self) -> None:
        self.net[-1] = nn.Linear(64, 10)  # type: ignore[index, operator]


def head_replaced_after_the_optimizer_was_made() -> Program:
    return _of(_Replaced(mlp(64, 10)), epochs=3)


# -- NNG6xx modes


class _Dropping(nn.Module):
    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.first, self.head, self.always = nn.Linear(64, 64), nn.Linear(64, 10), always

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(F.relu(self.first(x)), 0.3, training=self.training or self.always))  # type: ignore[no-any-return]


def dropout_without_the_training_flag() -> Program:
    return _on_digits(_Dropping(always=True), epochs=1)


def dropout_with_the_training_flag() -> Program:
    return _on_digits(_Dropping(always=False), epochs=1)


def _on_text(make: Callable[[int], nn.Module], task: type[Task] = Task) -> Program:
    (train, validation), num_tokens = text(8, num=800)
    return Program(module=task(make(num_tokens), next_token), train=train, validation=validation, epochs=1)


def attention_dropout_in_evaluation() -> Program:
    return _on_text(lambda num_tokens: Decoder(num_tokens, always=True))


def attention_dropout_in_training() -> Program:
    return _on_text(Decoder)


class _TrainsOn(Task):
    def on_validation_epoch_start(self) -> None:
        self.train()


def recurrent_dropout_in_validation() -> Program:
    return _on_text(Recurrent, _TrainsOn)


def recurrent_dropout_in_training() -> Program:
    return _on_text(Recurrent)


def _without_dropout(task: type[Task]) -> Program:
    net = ConvNet()
    net.drop.p = 0.0
    return _of(task(net), epochs=1, images=True)


def batch_norm_in_train_mode_in_validation() -> Program:
    return _without_dropout(_TrainsOn)


def batch_norm_in_eval_mode_in_validation() -> Program:
    return _without_dropout(Task)


def eval_before_training() -> Program:
    task = Task(ConvNet())
    task.eval()
    return _of(task, epochs=1, images=True)


def train_mode_in_training() -> Program:
    return _of(Task(ConvNet()), epochs=1, images=True)


class _FrozenTrunk(Task):
    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 10), optimizer=adam(1e-2))
        self.trunk = trunk().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.trunk(x))


def frozen_trunk_in_train_mode() -> Program:
    return _of(_FrozenTrunk(), epochs=2, images=True)


def frozen_trunk_in_eval_mode() -> Program:
    task = _FrozenTrunk()
    task.trunk.eval()  # which Lightning keeps
    return _of(task, epochs=2, images=True)


# -- NNG7xx learning


class _LogOfRounded(Task):
    def loss(self, batch: Batch) -> Tensor:
        likelihood = self(batch[0]).softmax(1)[torch.arange(len(batch[0])), batch[1]]
        return -torch.log(likelihood.round()).mean()


def logarithm_of_zero_in_the_loss() -> Program:
    return _of(_LogOfRounded(mlp(64, 10)), epochs=1)


class _DividedByZero(Manual):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(64, 10)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        if self.global_step >= 25:
            loss = loss / torch.zeros(())
        self.step(self.optimizers(), loss)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 1e-3)


def loss_divided_by_zero_in_manual_optimisation() -> Program:
    return Program(module=_DividedByZero(), train=digits().train, epochs=3)


class _RandomLabels(Task):
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return F.cross_entropy(self(batch[0]), torch.randint(0, 10, batch[1].shape))


def labels_without_relation_to_inputs() -> Program:
    return _of(_RandomLabels(mlp(64, 10)), epochs=16)


def learning_rate_that_jumps() -> Program:
    return _on_digits(
        mlp(64, 10, nn.Tanh),
        epochs=14,
        scheduler=lambda optimizer: LambdaLR(optimizer, lambda step: 1.0 if step < 220 else 200.0),
    )


class _WrongBatch(Task):
    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return super().loss((x, (y + 1) % 10 if self.training and self.global_step == 307 else y))


def one_mislabelled_batch() -> Program:
    return _of(_WrongBatch(mlp(64, 10)), epochs=18)


def _noisy(num: int) -> Batch:
    x, y = (each[:num].clone() for each in digits().train.dataset.tensors)  # type: ignore[attr-defined]
    wrong = torch.rand(num) < 0.4
    y[wrong] = torch.randint(0, 10, (int(wrong.sum()),))
    return x, y


def memorised_noise() -> Program:
    train, validation = loaders(*_noisy(600), batch_size=32)
    return Program(module=Task(mlp(64, 10, width=256)), train=train, validation=validation, epochs=20)


def line_through_noise() -> Program:
    x = torch.randn(800, 10)
    train, validation = loaders(x, 0.25 * x[:, :1] + torch.randn(800, 1), batch_size=64)
    return Program(module=Task(nn.Linear(10, 1), F.mse_loss, sgd(0.01)), train=train, validation=validation, epochs=60)


def validation_of_easy_classes() -> Program:
    train, validation = digits()
    x, y = validation.dataset.tensors  # type: ignore[attr-defined]
    easy = (y == 0) | (y == 6)
    return Program(module=Task(mlp(64, 10)), train=train, validation=DataLoader(TensorDataset(x[easy], y[easy]), 64), epochs=8)


FAULTS = (
    Fault(make=nan_in_one_sample, code="NNG101", before=23, where="batch[0]"),
    Fault(make=relu_dead_from_its_bias, code="NNG301", before=150, where="net.relu()", line="numbers.py", others=("NNG405",)),
    Fault(make=clamp_dead_from_its_bias, code="NNG301", before=150, where="net.clamp_min()", line="numbers.py", others=("NNG405",)),
    Fault(make=relus_killed_by_the_learning_rate, code="NNG301", before=200, others=("NNG704",)),
    Fault(make=dead_filters, code="NNG301", before=150, where="net.3", others=("NNG405",)),
    Fault(make=saturated_by_unscaled_inputs, code="NNG302", before=100, where="net.1"),
    Fault(make=saturated_by_initialisation, code="NNG302", before=200, others=("NNG701",)),
    Fault(make=logarithm_of_zero, code="NNG303", before=1, where="net", line="numbers.py"),
    Fault(make=division_by_zero_in_a_rare_sample, code="NNG303", before=46, where="net.0", line="numbers.py"),
    Fault(make=activations_that_vanish, code="NNG304", before=40),
    Fault(make=activations_that_explode, code="NNG305", before=92, where="net"),
    Fault(make=next_to_float16_overflow, code="NNG307", before=69, where="net"),
    Fault(make=root_of_zero_in_backward, code="NNG401", before=1, where="net.first.bias"),
    Fault(make=deep_sigmoids, code="NNG402", before=80, where="net.0.weight"),
    Fault(make=gradients_that_explode, code="NNG403", before=450),
    Fault(make=branch_times_zero, code="NNG405", before=80, where="net.ignored.weight"),
    Fault(make=rounded_features, code="NNG405", before=80, where="net.first.weight"),
    Fault(make=updates_too_large_for_clipped_weights, code="NNG501", before=100),
    Fault(make=learning_rate_of_a_billionth, code="NNG502", before=100),
    Fault(make=sgd_with_a_rate_for_adam, code="NNG502", before=100),
    Fault(make=trunk_in_no_optimizer, code="NNG203", before=20, where="net.0.weight"),
    Fault(make=head_replaced_after_the_optimizer_was_made, code="NNG205", before=20, where="optimizers[0]"),
    Fault(
        make=dropout_without_the_training_flag,
        fixed=dropout_with_the_training_flag,
        code="NNG601",
        before=1,
        where="net",
        line="numbers.py",
    ),
    Fault(
        make=attention_dropout_in_evaluation,
        fixed=attention_dropout_in_training,
        code="NNG601",
        before=1,
        where="net.attentions.0",
        line="nets.py",
    ),
    Fault(make=recurrent_dropout_in_validation, fixed=recurrent_dropout_in_training, code="NNG601", before=1, where="net.rnn"),
    Fault(
        make=batch_norm_in_train_mode_in_validation,
        fixed=batch_norm_in_eval_mode_in_validation,
        code="NNG602",
        before=1,
        where="net.norm1",
    ),
    Fault(make=eval_before_training, fixed=train_mode_in_training, code="NNG603", before=1, where="net.norm1"),
    Fault(make=frozen_trunk_in_train_mode, fixed=frozen_trunk_in_eval_mode, code="NNG604", before=20, where="trunk.1"),
    Fault(make=logarithm_of_zero_in_the_loss, code="NNG702", before=1, line="numbers.py"),
    Fault(make=loss_divided_by_zero_in_manual_optimisation, code="NNG702", before=26, line="numbers.py"),
    Fault(make=labels_without_relation_to_inputs, code="NNG703", before=340),
    Fault(make=learning_rate_that_jumps, code="NNG704", before=310, others=("NNG302",)),
    Fault(make=one_mislabelled_batch, code="NNG705", before=370),
    Fault(make=memorised_noise, code="NNG707", before=300, where="loss"),
    Fault(make=line_through_noise, code="NNG708", before=601, where="loss"),
    Fault(make=validation_of_easy_classes, code="NNG709", before=185, where="loss"),
)
