"""The loss in train mode and in eval mode: when it is measured, what it is, and when it is not."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import ModeLossSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.mode_losses import ModeLossCollector, depends_on_mode
from lightning_nnguard.probe.ranks import Ranks
from tests.programs import random_state

X, Y = torch.randn(8, 3), torch.arange(8) % 2


class Model(pl.LightningModule):
    """Loses its input in eval mode.

    Args:
        layer: Another layer, behind the first one.
    """

    def __init__(self, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.other = nn.Linear(3, 2), layer or nn.Dropout(0.5)
        self.register_buffer("total", torch.zeros(()))
        self.steps: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.other(x) if self.training else 0 * x)  # type: ignore[no-any-return]

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.steps.append(batch_idx)
        self.total += 1
        batch[0].add_(torch.rand(()))
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return {"loss": loss}


def collector(
    model: nn.Module, *, level: float | None = 0.7, first: float = 0.9, max_bytes: int | None = None
) -> ModeLossCollector:
    return ModeLossCollector(
        model, ranks=Ranks(), device=torch.device("cpu"), max_bytes=max_bytes, context=nullcontext, scales=lambda: (level, first)
    )


def at(step: int, epoch: int = 1) -> At:
    return At(step=step, epoch=epoch, batch_index=7)


def measured(model: nn.Module, step: int = 200, **changes: Any) -> list[Any]:
    made = collector(model, **changes)
    made.start_batch((X, Y), at(step))
    assert made.has_words == bool(made._seen)
    return list(made.words(at(step)))


def test_what_is_measured_is_the_loss_of_the_step_in_both_modes() -> None:
    model = Model(nn.Identity())
    (seen,) = measured(model)
    with torch.no_grad():
        blind = F.cross_entropy(model.layer(torch.zeros(8, 3)), Y)
    assert isinstance(seen, ModeLossSeen)
    assert seen.eval_loss == pytest.approx(float(blind))
    assert abs(seen.train_loss - seen.eval_loss) > 1e-3
    assert (seen.step, seen.epoch, seen.first_loss, seen.num_samples) == (200, 1, 0.7, 8)


def test_the_larger_loss_of_training_and_the_smaller_one_of_evaluation_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModeLossCollector, "_losses", lambda *args: [0.3, 0.4, 0.1, 0.2])
    (seen,) = measured(Model())
    assert (seen.eval_loss, seen.train_loss) == (0.3, 0.2)


def test_noise_is_drawn_twice_and_alike_in_both_modes() -> None:
    torch.manual_seed(5)
    model = Model(nn.Dropout(0.0))
    made = collector(model)
    twin_losses = made._losses((torch.zeros(8, 3), Y), 7)
    model.layer.weight.data.zero_()
    assert len(set(twin_losses)) > 2
    assert len(set(made._losses((torch.zeros(8, 3), Y), 7))) == 1


def test_nothing_of_the_run_is_touched() -> None:
    model, x = Model(), X.clone()
    model.layer.eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random, modes = random_state(), [each.training for each in model.modules()]
    assert measured(model)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert random_state() == random
    assert [each.training for each in model.modules()] == modes
    assert torch.equal(X, x)
    assert model.steps == []
    assert model.layer.weight.grad is None


def test_layers_that_are_in_eval_mode_stay_there() -> None:
    model = Model(nn.Dropout(0.5))
    model.train(False)
    (seen,) = measured(model)
    assert seen.eval_loss == pytest.approx(seen.train_loss)


# -- when ------------------------------------------------------------------------------------------------------------------------


def steps_of(moments: list[At], **changes: Any) -> list[int]:
    made, steps = collector(Model(), **changes), []
    for each in moments:
        made.start_batch((X, Y), each)
        if made.has_words:
            steps.append(each.step)
            made.words(each)
    return steps


def test_it_is_measured_three_times_at_most() -> None:
    assert steps_of([at(step) for step in range(0, 5000, 10)]) == [200, 400, 800]


def test_a_first_epoch_without_end_is_measured_later() -> None:
    assert steps_of([at(step, epoch=0) for step in range(0, 2500, 10)]) == [1000, 2000]


def test_the_first_loss_stands_for_a_level_that_is_not_known() -> None:
    made = collector(Model(), level=None)
    made.start_batch((X, Y), at(0, epoch=0))
    made.start_batch((X, Y), at(200))
    (seen,) = made.words(at(200))
    assert isinstance(seen, ModeLossSeen)
    assert seen.first_loss == 0.9


def test_the_first_loss_of_a_resumed_run_does_not() -> None:
    assert steps_of([at(500), at(1000)], level=None) == []
    assert steps_of([at(500), at(1000)]) == [500, 1000]


def test_an_unknown_first_loss_is_none() -> None:
    assert steps_of([at(0, epoch=0), at(200)], level=None, first=math.nan) == []


# -- when not --------------------------------------------------------------------------------------------------------------------


class Fails(Model):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.steps.append(batch_idx)
        return self.trainer.datamodule.loss(batch)


def test_a_step_that_needs_its_trainer_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    losses = ModeLossCollector._losses
    monkeypatch.setattr(ModeLossCollector, "_losses", lambda self, *args: calls.append(1) or losses(self, *args))
    made = collector(Fails())
    for step in (200, 400, 800):
        made.start_batch((X, Y), at(step))
    assert not made.has_words
    assert len(calls) == 1


class Returns(Model):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.value


@pytest.mark.parametrize("value", [None, {}, torch.tensor(torch.nan), torch.ones(2), "loss"], ids=str)
def test_a_step_without_a_finite_loss_is_not_measured(value: Any) -> None:
    assert measured(Returns(value)) == []


class Speaks(Model):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        print("hello")
        return super().training_step(batch, batch_idx)


def test_a_step_that_would_be_noticed_is_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert measured(Speaks()) == []
    assert capsys.readouterr().out == ""


def test_a_large_model_is_not_copied() -> None:
    num_bytes = 4 * (3 * 2 + 2) + 4
    assert measured(Model(), max_bytes=num_bytes)
    assert measured(Model(), max_bytes=num_bytes - 1) == []


def test_a_model_without_modes_is_not_measured() -> None:
    class Plain(Model):
        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)  # type: ignore[no-any-return]

    assert measured(Plain(nn.ReLU())) == []
    assert len(measured(Plain(nn.Dropout(0.1)))) == 1


class Asks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if self.training else 2 * x


@pytest.mark.parametrize(
    ("layer", "depends"),
    [
        (nn.Dropout(0.1), True),
        (nn.Dropout(0.0), False),
        (nn.BatchNorm1d(3), True),
        (nn.InstanceNorm1d(3, track_running_stats=True), True),
        (nn.LayerNorm(3), False),
        (nn.LSTM(3, 3, 2, dropout=0.1), True),
        (nn.LSTM(3, 3, 2), False),
        (nn.MultiheadAttention(4, 2, dropout=0.1), True),
        (nn.MultiheadAttention(4, 2), False),
        (nn.TransformerEncoderLayer(4, 2, dropout=0.0), False),
        (Asks(), True),
        (nn.Sequential(nn.Linear(3, 3), nn.Sequential(Asks())), True),
    ],
    ids=lambda each: type(each).__name__,
)
def test_which_layers_depend_on_their_mode(layer: nn.Module, depends: bool) -> None:
    assert depends_on_mode(nn.Sequential(layer)) == depends
