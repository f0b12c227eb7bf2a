"""Faults of the optimizers' settings: betas, decay, clipping, precision, the scaler, averages of the weights."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.faults.data import digits, table
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import MakeOptimizer, Program, Task, adam, sgd

Batch = tuple[Tensor, Tensor]


# -- NNG508


def _with(optimizer: MakeOptimizer, *, epochs: int = 2) -> Program:
    train, validation = digits()
    return Program(module=Task(mlp(64, 10), optimizer=optimizer), train=train, validation=validation, epochs=epochs)


def _betas(first: float, second: float) -> MakeOptimizer:
    return lambda parameters: torch.optim.AdamW(parameters, 3e-4, betas=(first, second))


def betas_the_wrong_way_round() -> Program:
    return _with(_betas(0.999, 0.9))


def betas_the_right_way_round() -> Program:
    return _with(_betas(0.9, 0.999))


def _on_progress(momentum: float) -> Program:
    data = table("diabetes")
    module = Task(mlp(10, 1, depth=1), F.mse_loss, sgd(1e-3, momentum=momentum))
    return Program(module=module, train=data.train, validation=data.validation, epochs=3)


def momentum_that_forgets_nothing() -> Program:
    return _on_progress(1.0)


def momentum_that_forgets() -> Program:
    return _on_progress(0.9)


# -- NNG504, NNG712


def _decayed(decay: float) -> Program:
    return _with(lambda parameters: torch.optim.AdamW(parameters, 1e-3, weight_decay=decay), epochs=8)


def decay_of_adam_a_hundred_times_the_weights() -> Program:
    return _decayed(100.0)


def decay_of_adam_a_hundredth_of_the_weights() -> Program:
    return _decayed(1e-2)


def _regularised(decay: float) -> Program:
    return _with(sgd(1e-2, momentum=0.9, weight_decay=decay), epochs=9)


def regularisation_stronger_than_the_data() -> Program:
    return _regularised(0.3)


def regularisation_weaker_than_the_data() -> Program:
    return _regularised(1e-4)


# -- NNG404


def _clipped(limit: float) -> Program:
    data = table("diabetes")
    module = Task(mlp(10, 1, nn.Tanh, depth=2), F.mse_loss, sgd(1e-2))
    trainer = {"gradient_clip_val": limit}
    return Program(module=module, train=data.train, validation=data.validation, epochs=20, trainer=trainer)


def clipped_to_a_thousandth() -> Program:
    return _clipped(1e-3)


def clipped_at_peaks() -> Program:
    return _clipped(5.0)


# -- NNG507


class _InTheirUnit(Task):
    """The loss as energy: joules of particles of an electron volt."""

    unit = 1e-9

    def loss(self, batch: Batch) -> Tensor:
        return self.unit * super().loss(batch)


def _energies(unit: float) -> Program:
    data = table("diabetes")
    module = _InTheirUnit(mlp(10, 1, depth=2), F.mse_loss, adam(1e-3))
    module.unit = unit
    return Program(module=module, train=data.train, validation=data.validation, epochs=10)


def loss_of_a_billionth() -> Program:
    return _energies(1e-12)


def loss_of_one() -> Program:
    return _energies(1.0)


# -- NNG509


def _scaled(**changes: Any) -> Program:
    train, validation = digits()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, **changes)
    trainer = {"plugins": [MixedPrecision("16-mixed", device="cpu", scaler=scaler)]}
    module = Task(mlp(64, 10, depth=2), optimizer=sgd(0.05, momentum=0.9))
    return Program(module=module, train=train, validation=validation, epochs=8, trainer=trainer)


def scaler_that_grows_with_each_step() -> Program:
    return _scaled(growth_interval=1, growth_factor=8.0)


def scaler_that_grows_at_times() -> Program:
    return _scaled()


# -- NNG510


def _in_bfloat16(precision: str) -> Program:
    train, validation = digits()
    net = mlp(64, 10, norm=nn.LayerNorm)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.5)
    net[-1].reset_parameters()
    module = Task(net, optimizer=adam(1e-4))
    return Program(module=module, train=train, validation=validation, epochs=8, trainer={"precision": precision})


def small_steps_of_bfloat16_weights() -> Program:
    return _in_bfloat16("bf16-true")


def small_steps_of_float32_weights() -> Program:
    return _in_bfloat16("bf16-mixed")


# -- NNG512


def _averaged(start: int) -> Program:
    train, validation = digits()
    callback = EMAWeightAveraging(decay=0.9, update_starting_at_step=start)
    module = Task(mlp(64, 10, depth=2))
    return Program(module=module, train=train, validation=validation, epochs=5, trainer={"callbacks": [callback]})


def average_that_begins_after_the_run() -> Program:
    return _averaged(1000)


def average_that_begins_within_the_run() -> Program:
    return _averaged(20)


class _Averaged(Task):
    """Keeps an average of its network and validates with it."""

    def __init__(self, *, updates: bool) -> None:
        super().__init__(mlp(30, 2))
        assert self.net is not None
        self.ema = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(0.95)).requires_grad_(False)
        self.updates = updates

    def on_train_batch_end(self, *args: object) -> None:
        if self.updates:
            assert self.net is not None
            self.ema.update_parameters(self.net)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val_loss_of_the_average", F.cross_entropy(self.ema(batch[0]), batch[1]))


def _with_its_average(*, updates: bool) -> Program:
    data = table("breast_cancer")
    return Program(module=_Averaged(updates=updates), train=data.train, validation=data.validation, epochs=8)


def average_that_nobody_updates() -> Program:
    return _with_its_average(updates=False)


def average_that_is_updated() -> Program:
    return _with_its_average(updates=True)


FAULTS = (
    Fault(
        make=betas_the_wrong_way_round, fixed=betas_the_right_way_round, code="NNG508", before=1, where="optimizers[0]",
        line="betas=(0.999, 0.9)",
    ),
    Fault(
        make=momentum_that_forgets_nothing, fixed=momentum_that_forgets, code="NNG508", before=1, where="optimizers[0]",
        line="momentum=1",
    ),
    Fault(
        make=decay_of_adam_a_hundred_times_the_weights, fixed=decay_of_adam_a_hundredth_of_the_weights, code="NNG504", before=200,
        where="optimizers[0]", stratum="hyper-parameter",
    ),
    Fault(
        make=regularisation_stronger_than_the_data, fixed=regularisation_weaker_than_the_data, code="NNG712", before=300,
        where="optimizers[0]",
    ),
    Fault(make=clipped_to_a_thousandth, fixed=clipped_at_peaks, code="NNG404", before=250, others=("NNG502",)),
    Fault(make=loss_of_a_billionth, fixed=loss_of_one, code="NNG507", before=110),
    Fault(make=scaler_that_grows_with_each_step, fixed=scaler_that_grows_at_times, code="NNG509", before=190),
    Fault(make=small_steps_of_bfloat16_weights, fixed=small_steps_of_float32_weights, code="NNG510", before=240),
    Fault(
        make=average_that_begins_after_the_run, fixed=average_that_begins_within_the_run, code="NNG512", before=120,
        where="EMAWeightAveraging", others=("NNG710",),
    ),
    Fault(make=average_that_nobody_updates, fixed=average_that_is_updated, code="NNG512", before=130, where="ema"),
)  # fmt: skip
