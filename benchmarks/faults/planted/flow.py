"""Faults in the order of backward pass, clearing and step, and in what gradients reach and keep."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import digits
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import MakeOptimizer, Manual, Program, Task, adam, sgd

Batch = tuple[Tensor, Tensor]


def _of(module: Any, *, epochs: int, batch_size: int = 64, **trainer: Any) -> Program:
    train, validation = digits(batch_size)
    return Program(module=module, train=train, validation=validation, epochs=epochs, trainer=trainer)


# -- NNG202


class _Gated(nn.Module):
    def __init__(self, *, is_gated: bool) -> None:
        super().__init__()
        self.first, self.gate, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.is_gated = is_gated

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self.first(x))
        return self.head(h * torch.sigmoid(self.gate(x)) if self.is_gated else h)  # type: ignore[no-any-return]


def gate_that_is_never_called() -> Program:
    return _of(Task(_Gated(is_gated=False)), epochs=4)


def gate_that_is_called() -> Program:
    return _of(Task(_Gated(is_gated=True)), epochs=4)


class _TwoViews(nn.Module):
    """The embedding of the columns is taken as a number, not as a tensor with a history."""

    def __init__(self, *, detached: bool) -> None:
        super().__init__()
        self.rows, self.columns, self.head = nn.Linear(64, 32), nn.Linear(64, 32), nn.Linear(64, 10)
        self.detached = detached

    def forward(self, x: Tensor) -> Tensor:
        columns = self.columns(x.view(-1, 8, 8).mT.flatten(1))
        both = torch.cat([self.rows(x), columns.detach() if self.detached else columns], 1)
        return self.head(F.relu(both))  # type: ignore[no-any-return]


def branch_that_is_detached() -> Program:
    return _of(Task(_TwoViews(detached=True)), epochs=4)


def branch_with_its_history() -> Program:
    return _of(Task(_TwoViews(detached=False)), epochs=4)


# -- NNG213


def _constant(value: float | None) -> nn.Sequential:
    net = mlp(64, 10, nn.Tanh, depth=2)
    if value is not None:
        for layer in (net[0], net[2]):
            nn.init.constant_(layer.weight, value)
            nn.init.zeros_(layer.bias)
    return net


def hidden_layers_that_start_constant() -> Program:
    return _of(Task(_constant(0.01)), epochs=3)


def hidden_layers_that_start_random() -> Program:
    return _of(Task(_constant(None)), epochs=3)


# -- NNG221, NNG222, NNG227


class _ByHand(Manual):
    """Calls what it is told to, in that order: "clear", "backward", "step"."""

    def __init__(self, *calls: str, optimizer: MakeOptimizer | None = None, set_to_none: bool = True) -> None:
        super().__init__()
        self.net, self.calls, self.make, self.set_to_none = mlp(64, 10, depth=2), calls, optimizer or adam(1e-3), set_to_none

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self.net(x), y)
        optimizer: Any = self.optimizers()
        for call in self.calls:
            if call == "clear":
                optimizer.zero_grad(set_to_none=self.set_to_none)
            elif call == "backward":
                self.manual_backward(loss)
            else:
                optimizer.step()
        return loss.detach()

    def configure_optimizers(self) -> Any:
        return self.make(list(self.net.parameters()))


def _by_hand(*calls: str, optimizer: MakeOptimizer | None = None, set_to_none: bool = True) -> Program:
    return Program(module=_ByHand(*calls, optimizer=optimizer, set_to_none=set_to_none), train=digits().train, epochs=3)


def gradients_that_pile_up() -> Program:
    return _by_hand("backward", "step")


def gradients_cleared_first() -> Program:
    return _by_hand("clear", "backward", "step")


class _NeverClears(Task):
    """Automatic optimisation, of which one part is turned off."""

    def __init__(self, *, clears: bool) -> None:
        super().__init__(mlp(64, 10, depth=2), optimizer=sgd(0.02))
        self.clears = clears

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        if self.clears:
            optimizer.zero_grad()


def clearing_turned_off() -> Program:
    return _of(_NeverClears(clears=False), epochs=2)


def clearing_left_on() -> Program:
    return _of(_NeverClears(clears=True), epochs=2)


def gradients_cleared_after_backward() -> Program:
    return _by_hand("backward", "clear", "step")


def gradients_zeroed_after_backward() -> Program:
    return _by_hand("backward", "clear", "step", set_to_none=False)


def gradients_cleared_after_the_step() -> Program:
    return _by_hand("backward", "step", "clear", set_to_none=False)


def step_that_is_forgotten() -> Program:
    return _by_hand("clear", "backward")


def step_that_is_not() -> Program:
    return _by_hand("clear", "backward", "step", optimizer=sgd(0.1))


# -- NNG226


class _Remembers(Task):
    """Averages its own loss over the epoch."""

    def __init__(self, *, graphs: bool) -> None:
        super().__init__(mlp(64, 10, depth=2))
        self.losses: list[Tensor] = []
        self.graphs = graphs

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.losses.append(loss if self.graphs else loss.detach())
        return loss

    def on_train_end(self) -> None:
        self.losses.clear()


def losses_kept_with_their_graphs() -> Program:
    return _of(_Remembers(graphs=True), epochs=6, batch_size=16)


def losses_kept_as_numbers() -> Program:
    return _of(_Remembers(graphs=False), epochs=6, batch_size=16)


class _AddsUp(Task):
    def __init__(self, *, graphs: bool) -> None:
        super().__init__(mlp(64, 10, depth=2))
        self.total: Any = 0.0
        self.graphs = graphs

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.total = self.total + (loss if self.graphs else loss.detach())
        return loss


def total_loss_with_its_graph() -> Program:
    return _of(_AddsUp(graphs=True), epochs=6, batch_size=16)


def total_loss_as_a_number() -> Program:
    return _of(_AddsUp(graphs=False), epochs=6, batch_size=16)


# -- NNG511


class _FreezesLater(Task):
    """Freezes its first layer after an epoch; gradients are cleared to zero, not to None."""

    def __init__(self, *, drops: bool) -> None:
        super().__init__(mlp(64, 10, depth=2))
        self.drops = drops

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=False)

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            for parameter in self.net[0].requires_grad_(False).parameters():  # type: ignore[index, operator, union-attr]
                parameter.grad = None if self.drops else parameter.grad


def layer_frozen_with_its_gradients() -> Program:
    return Program(module=_FreezesLater(drops=False), train=digits().train, epochs=4)  # a validation would drop gradients


def layer_frozen_without_gradients() -> Program:
    return Program(module=_FreezesLater(drops=True), train=digits().train, epochs=4)


FAULTS = (
    Fault(make=gate_that_is_never_called, fixed=gate_that_is_called, code="NNG202", before=70, where="net.gate.weight"),
    Fault(make=branch_that_is_detached, fixed=branch_with_its_history, code="NNG202", before=70, where="net.columns.weight"),
    Fault(
        make=hidden_layers_that_start_constant, fixed=hidden_layers_that_start_random, code="NNG213", before=40,
        where="net.0.weight",
    ),
    Fault(make=gradients_that_pile_up, fixed=gradients_cleared_first, code="NNG221", before=20, where="optimizers[0]"),
    Fault(make=clearing_turned_off, fixed=clearing_left_on, code="NNG221", before=20, where="optimizers[0]"),
    Fault(
        make=gradients_cleared_after_backward, fixed=gradients_cleared_after_the_step, code="NNG222", before=20,
        where="optimizers[0]",
    ),
    Fault(make=gradients_zeroed_after_backward, fixed=gradients_cleared_first, code="NNG222", before=40, where="optimizers[0]"),
    Fault(make=losses_kept_with_their_graphs, fixed=losses_kept_as_numbers, code="NNG226", before=270, where="losses"),
    Fault(make=total_loss_with_its_graph, fixed=total_loss_as_a_number, code="NNG226", before=270, where="total"),
    Fault(make=step_that_is_forgotten, fixed=step_that_is_not, code="NNG227", before=40),
    Fault(
        make=layer_frozen_with_its_gradients, fixed=layer_frozen_without_gradients, code="NNG511", before=60,
        where="net.0.weight",
    ),
)  # fmt: skip
