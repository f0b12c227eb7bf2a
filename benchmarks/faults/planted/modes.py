"""Faults in the modes of modules: dropout, batch norm, frozen parts."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import digits, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import ConvNet, Decoder, Recurrent, next_token, trunk
from benchmarks.faults.program import Program, Task, adam


def _of(task: Task, *, epochs: int, images: bool = True) -> Program:
    train, validation = digits(images=images)
    return Program(module=task, train=train, validation=validation, epochs=epochs)


# -- NNG601


class _Dropping(nn.Module):
    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.first, self.head, self.always = nn.Linear(64, 64), nn.Linear(64, 10), always

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(F.relu(self.first(x)), 0.3, training=self.training or self.always))  # type: ignore[no-any-return]


def dropout_without_the_training_flag() -> Program:
    return _of(Task(_Dropping(always=True)), epochs=1, images=False)


def dropout_with_the_training_flag() -> Program:
    return _of(Task(_Dropping(always=False)), epochs=1, images=False)


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
    return _of(task(net), epochs=1)


def batch_norm_in_train_mode_in_validation() -> Program:
    return _without_dropout(_TrainsOn)


def batch_norm_in_eval_mode_in_validation() -> Program:
    return _without_dropout(Task)


def eval_before_training() -> Program:
    task = Task(ConvNet())
    task.eval()
    return _of(task, epochs=1)


def train_mode_in_training() -> Program:
    return _of(Task(ConvNet()), epochs=1)


class _FrozenTrunk(Task):
    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 10), optimizer=adam(1e-2))
        self.trunk = trunk().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.trunk(x))


def frozen_trunk_in_train_mode() -> Program:
    return _of(_FrozenTrunk(), epochs=2)


def frozen_trunk_in_eval_mode() -> Program:
    task = _FrozenTrunk()
    task.trunk.eval()  # which Lightning keeps
    return _of(task, epochs=2)


FAULTS = (
    Fault(
        make=dropout_without_the_training_flag, fixed=dropout_with_the_training_flag, code="NNG601", before=1, where="net",
        line="modes.py",
    ),
    Fault(
        make=attention_dropout_in_evaluation, fixed=attention_dropout_in_training, code="NNG601", before=1,
        where="net.attentions.0", line="nets.py",
    ),
    Fault(make=recurrent_dropout_in_validation, fixed=recurrent_dropout_in_training, code="NNG601", before=1, where="net.rnn"),
    Fault(
        make=batch_norm_in_train_mode_in_validation, fixed=batch_norm_in_eval_mode_in_validation, code="NNG602", before=1,
        where="net.norm1",
    ),
    Fault(make=eval_before_training, fixed=train_mode_in_training, code="NNG603", before=1, where="net.norm1"),
    Fault(make=frozen_trunk_in_train_mode, fixed=frozen_trunk_in_eval_mode, code="NNG604", before=20, where="trunk.1"),
)  # fmt: skip
