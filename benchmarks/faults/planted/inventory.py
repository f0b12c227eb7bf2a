"""Faults of the set-up: who trains which parameter, what is loaded, what is monitored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics.classification import MulticlassAccuracy

from benchmarks.faults.data import digits, table
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Manual, Program, Task

Batch = tuple[Tensor, Tensor]


def _on_digits(module: Any, *, epochs: int = 2, **changes: Any) -> Program:
    train, validation = digits()
    return Program(module=module, train=train, validation=validation, epochs=epochs, **changes)


# -- NNG203


class _Centres(Task):
    """Features gather round the centre of their class, which is learnt, too; the optimizer knows the network alone, or all."""

    def __init__(self, *, knows_all: bool) -> None:
        super().__init__(mlp(64, 10, depth=2))
        self.centres = nn.Parameter(torch.randn(10, 10))
        self.knows_all = knows_all

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        logits = self(x)
        return F.cross_entropy(logits, y) + 0.01 * (logits - self.centres[y]).square().mean()

    def configure_optimizers(self) -> Optimizer:
        return torch.optim.Adam((self if self.knows_all else self.net).parameters(), 1e-3)  # type: ignore[union-attr]


def centres_of_a_loss_in_no_optimizer() -> Program:
    return _on_digits(_Centres(knows_all=False))


def centres_of_a_loss_in_the_optimizer() -> Program:
    return _on_digits(_Centres(knows_all=True))


class _Late(Task):
    """Makes its head when the first batch of training comes, or before the optimizer."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__(mlp(64, 64, depth=1))
        self.head: nn.Linear | None = nn.Linear(64, 10) if at_once else None

    def forward(self, x: Tensor) -> Tensor:
        if self.head is None:
            self.head = nn.Linear(64, 10)
        return self.head(F.relu(super().forward(x)))  # type: ignore[no-any-return]


def head_made_in_the_first_forward() -> Program:
    return Program(module=_Late(at_once=False), train=digits().train, epochs=2)


def head_made_before_the_optimizer() -> Program:
    return Program(module=_Late(at_once=True), train=digits().train, epochs=2)


# -- NNG204


class _TwoTasks(Manual):
    """One backward pass for two tasks, each with an optimizer, the first of which gets the trunk; the second one perhaps, too."""

    def __init__(self, *, shares: bool) -> None:
        super().__init__()
        self.trunk, self.kind, self.odd = mlp(64, 64, depth=1), nn.Linear(64, 10), nn.Linear(64, 2)
        self.shares = shares

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        h = F.relu(self.trunk(batch[0]))
        loss = F.cross_entropy(self.kind(h), batch[1]) + F.cross_entropy(self.odd(h), batch[1] % 2)
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():  # type: ignore[union-attr]
            optimizer.step()
        return loss

    def configure_optimizers(self) -> Any:
        trunk = [self.trunk] if self.shares else []
        return [torch.optim.Adam(_all([self.trunk, self.kind])), torch.optim.Adam(_all([*trunk, self.odd]))]


def _all(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]


def trunk_in_the_optimizers_of_both_heads() -> Program:
    return Program(module=_TwoTasks(shares=True), train=digits().train, epochs=2)


def trunk_in_one_of_two_optimizers() -> Program:
    return Program(module=_TwoTasks(shares=False), train=digits().train, epochs=2)


class _Adversaries(Manual):
    """Each of two optimizers gets its own half of the parameters, or both get all."""

    def __init__(self, *, apart: bool) -> None:
        super().__init__()
        self.make = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh())
        self.judge = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
        self.apart = apart

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        real, fake = batch[0].clamp(-1, 1), self.make(torch.randn(len(batch[0]), 16))
        maker, judge = self.optimizers()  # type: ignore[misc]
        self.step(judge, F.softplus(-self.judge(real)).mean() + F.softplus(self.judge(fake.detach())).mean())
        self.step(maker, F.softplus(-self.judge(fake)).mean())

    def configure_optimizers(self) -> Any:
        parts = (self.make, self.judge) if self.apart else (self, self)
        return [torch.optim.Adam(part.parameters(), 2e-4, betas=(0.5, 0.999)) for part in parts]


def both_adversaries_in_both_optimizers() -> Program:
    return Program(module=_Adversaries(apart=False), train=digits().train, epochs=2)


def adversaries_in_their_own_optimizers() -> Program:
    return Program(module=_Adversaries(apart=True), train=digits().train, epochs=2)


# -- NNG205


class _FreshHead(Task):
    """Begins its second epoch with a fresh head: a new layer, or new weights for the old one."""

    def __init__(self, *, new_layer: bool) -> None:
        super().__init__(mlp(64, 10))
        self.new_layer = new_layer

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1 and self.new_layer:
            self.net[-1] = nn.Linear(64, 10)  # type: ignore[index, operator]
        elif self.current_epoch == 1:
            self.net[-1].reset_parameters()  # type: ignore[index, operator]


def head_made_anew_in_the_second_epoch() -> Program:
    return _on_digits(_FreshHead(new_layer=True))


def head_reset_in_the_second_epoch() -> Program:
    return _on_digits(_FreshHead(new_layer=False))


# -- NNG206


class _Frozen(Task):
    def __init__(self, *, head_too: bool) -> None:
        super().__init__(mlp(64, 10))
        (self if head_too else self.net[:-1]).requires_grad_(False)  # type: ignore[index]

    def configure_optimizers(self) -> Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


def head_frozen_with_the_rest() -> Program:
    return _on_digits(_Frozen(head_too=True), ends_with="does not require grad")


def all_frozen_but_the_head() -> Program:
    return _on_digits(_Frozen(head_too=False))


# -- NNG219


def _on_wine(width: int) -> Program:
    train, validation = table("wine")
    return Program(module=Task(mlp(13, 3, width=width)), train=train, validation=validation, epochs=2)


def network_too_large_for_wine() -> Program:
    return _on_wine(300)


def network_for_wine() -> Program:
    return _on_wine(32)


# -- NNG223


class _Pretrained(Task):
    """Loads the weights of an earlier run, whose names begin with "model."."""

    def __init__(self, *, renames: bool) -> None:
        super().__init__(mlp(64, 10))
        self.earlier = {f"model.{name}": value for name, value in mlp(64, 10).state_dict().items()}
        self.renames = renames

    def setup(self, stage: str) -> None:
        state = {name.removeprefix("model."): value for name, value in self.earlier.items()} if self.renames else self.earlier
        self.net.load_state_dict(state, strict=False)  # type: ignore[union-attr]


def checkpoint_with_a_prefix() -> Program:
    return _on_digits(_Pretrained(renames=False))


def checkpoint_without_the_prefix() -> Program:
    return _on_digits(_Pretrained(renames=True))


# -- NNG224


class _Measured(Task):
    """Logs the accuracy of each batch in training, and of all batches in validation, from one object or from two."""

    def __init__(self, *, shares: bool) -> None:
        super().__init__(mlp(64, 10))
        self.train_accuracy = MulticlassAccuracy(10)
        self.val_accuracy = self.train_accuracy if shares else MulticlassAccuracy(10)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = self(batch[0])
        self.log("train_accuracy", self.train_accuracy(logits, batch[1]))
        return F.cross_entropy(logits, batch[1])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.val_accuracy(self(batch[0]), batch[1])
        self.log("val_accuracy", self.val_accuracy)


def accuracy_shared_by_training_and_validation() -> Program:
    return _on_digits(_Measured(shares=True))


def accuracy_for_each_stage() -> Program:
    return _on_digits(_Measured(shares=False))


# -- NNG225


class _Watched(Task):
    def __init__(self, mode: Any = None) -> None:
        super().__init__(mlp(64, 10))
        self.mode = mode

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean(), batch_size=1)

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        if self.mode is None:
            return optimizer
        scheduler = ReduceLROnPlateau(optimizer, self.mode, patience=1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_acc"}}


def _stopped(mode: str) -> Program:
    return _on_digits(_Watched(), trainer={"callbacks": [EarlyStopping("val_acc", mode=mode, patience=1)]})


def accuracy_is_to_fall() -> Program:
    return _stopped("min")


def accuracy_is_to_rise() -> Program:
    return _stopped("max")


def plateau_of_a_falling_accuracy() -> Program:
    return _on_digits(_Watched("min"))


def plateau_of_a_rising_accuracy() -> Program:
    return _on_digits(_Watched("max"))


# -- NNG513


class _Thaw(Callback):
    """Unfreezes the first layer in the second epoch, and tells the optimizer, or forgets to."""

    def __init__(self, *, tells: bool) -> None:
        self.tells = tells

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            layer = pl_module.net[0].requires_grad_(True)  # type: ignore[index, union-attr]
            if self.tells:
                trainer.optimizers[0].add_param_group({"params": layer.parameters(), "lr": 1e-4})


def _thawing(*, tells: bool) -> Program:
    task = Task(mlp(64, 10, depth=2))
    task.net[0].requires_grad_(False)  # type: ignore[index]
    return _on_digits(task, epochs=3, trainer={"callbacks": [_Thaw(tells=tells)]})


def layer_unfrozen_without_the_optimizer() -> Program:
    return _thawing(tells=False)


def layer_unfrozen_with_the_optimizer() -> Program:
    return _thawing(tells=True)


# -- NNG503


class _Sgd(Optimizer):
    """An optimizer of one's own, which looks after its first group, or after all."""

    def __init__(self, groups: Any, *, all_groups: bool) -> None:
        super().__init__(groups, {"lr": 0.1})
        self.all_groups = all_groups

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = closure() if closure is not None else None
        with torch.no_grad():
            for group in self.param_groups if self.all_groups else self.param_groups[:1]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.add_(parameter.grad, alpha=-group["lr"])
        return loss


def _in_two_groups(parameters: list[nn.Parameter], *, all_groups: bool) -> Optimizer:
    return _Sgd([{"params": parameters[:-2]}, {"params": parameters[-2:]}], all_groups=all_groups)


def second_group_that_the_optimizer_forgets() -> Program:
    return _on_digits(Task(mlp(64, 10), optimizer=partial(_in_two_groups, all_groups=False)))


def second_group_that_the_optimizer_knows() -> Program:
    return _on_digits(Task(mlp(64, 10), optimizer=partial(_in_two_groups, all_groups=True)))


FAULTS = (
    Fault(
        make=centres_of_a_loss_in_no_optimizer, fixed=centres_of_a_loss_in_the_optimizer, code="NNG203", before=20, where="centres"
    ),
    Fault(make=head_made_in_the_first_forward, fixed=head_made_before_the_optimizer, code="NNG203", before=20, where="head.weight"),
    Fault(
        make=trunk_in_the_optimizers_of_both_heads, fixed=trunk_in_one_of_two_optimizers, code="NNG204", before=1,
        where="trunk.0.weight",
    ),
    Fault(
        make=both_adversaries_in_both_optimizers, fixed=adversaries_in_their_own_optimizers, code="NNG204", before=1,
        where="make.0.weight",
    ),
    Fault(
        make=head_made_anew_in_the_second_epoch, fixed=head_reset_in_the_second_epoch, code="NNG205", before=40,
        where="optimizers[0]",
    ),
    Fault(make=head_frozen_with_the_rest, fixed=all_frozen_but_the_head, code="NNG206", before=1),
    Fault(make=network_too_large_for_wine, fixed=network_for_wine, code="NNG219", before=1),
    Fault(
        make=checkpoint_with_a_prefix, fixed=checkpoint_without_the_prefix, code="NNG223", before=1, where="net",
        line="self.net.load_state_dict(state, strict=False)",
    ),
    Fault(
        make=accuracy_shared_by_training_and_validation, fixed=accuracy_for_each_stage, code="NNG224", before=24,
        where="train_accuracy",
    ),
    Fault(make=accuracy_is_to_fall, fixed=accuracy_is_to_rise, code="NNG225", before=1, where="val_acc"),
    Fault(make=plateau_of_a_falling_accuracy, fixed=plateau_of_a_rising_accuracy, code="NNG225", before=1, where="val_acc"),
    Fault(
        make=layer_unfrozen_without_the_optimizer, fixed=layer_unfrozen_with_the_optimizer, code="NNG513", before=40,
        where="net.0.weight",
    ),
    Fault(
        make=second_group_that_the_optimizer_forgets, fixed=second_group_that_the_optimizer_knows, code="NNG503", before=40,
        where="net.6.weight",
    ),
)  # fmt: skip
