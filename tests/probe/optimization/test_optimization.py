"""What the settings of the optimizers leave of a step, from real steps of real optimizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightning_nnguard.observation import (
    AdaptiveStepSeen,
    ClippingSeen,
    DecaySeen,
    PrecisionSeen,
    RateSeen,
    ScalerSeen,
    Seen,
)
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.exchange import Exchange
from lightning_nnguard.probe.gradients import GradientCollector
from lightning_nnguard.probe.optimization.decay import History
from lightning_nnguard.probe.optimization.plan import OptimizationPlan
from lightning_nnguard.probe.optimization.watch import KINDS, OptimizationWatch
from lightning_nnguard.probe.parameters import Parameters, learning_rates
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.updates import UpdateCollector

MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


class Run:
    """Sampled steps of one optimizer on a matrix and a bias, watched as the probe does."""

    def __init__(self, make: MakeOptimizer, *, dtype: torch.dtype = torch.float32, has_scaler: bool = False, **plan: Any) -> None:
        torch.manual_seed(0)
        self.net = nn.Linear(32, 16).to(dtype)
        self.optimizer = make(list(self.net.parameters()))
        parameters, ranks = Parameters(self.net, Ranks()), Ranks()
        self.gradients = GradientCollector(parameters, max_histograms=0, has_scaler=has_scaler)
        self.updates = UpdateCollector(parameters, max_bytes=None, has_scaler=has_scaler, gradients=self.gradients)
        self.watch = OptimizationWatch(
            parameters, KINDS, optimizers=lambda: [self.optimizer], gradients=self.gradients, updates=self.updates,
            plan=OptimizationPlan(**plan), has_scaler=has_scaler, attempts=Attempts(pytest.fail),
        )  # fmt: skip
        watched = {name: each for name, each in self.watch.collectors.items() if each is not None}
        collectors = {"gradients": self.gradients, "updates": self.updates, **watched}
        self.exchange = Exchange(collectors, ranks=ranks, device=torch.device("cpu"), on_error=_raise)

    def step(self, step: int, gradient: Tensor | float, *, between: Callable[[], object] = lambda: None) -> dict[type[Seen], Seen]:
        """Step once with a gradient; return what was seen, the latest of each kind."""
        for each in self.net.parameters():
            each.grad = torch.full_like(each, 0.0) + (
                gradient if isinstance(gradient, float) else gradient.to(each.dtype)[: len(each)]
            )
        self.gradients.measure(set(), None, 1.0, step)
        self.updates.snapshot(learning_rates([self.optimizer]), step)
        self.watch.before_step(self.optimizer, step)
        self.optimizer.step()
        between()
        self.updates.measure()
        self.watch.end_batch()
        self.exchange.send(torch.zeros(0), At(step=step, epoch=0, batch_index=step))
        result = self.exchange.read(0)
        assert result is not None
        return {type(seen): seen for part in result[2].values() for seen in part}

    def steps(self, numbers: Sequence[int], gradient: float) -> dict[type[Seen], Seen]:
        """Step at these steps; return what was seen last of each kind."""
        seen: dict[type[Seen], Seen] = {}
        for number in numbers:
            seen |= self.step(number, gradient)
        return seen


def _raise(error: Exception, part: str) -> None:
    raise AssertionError(part) from error


def sgd(rate: float = 0.1, **changes: Any) -> MakeOptimizer:
    return lambda parameters: torch.optim.SGD(parameters, rate, **changes)


def adam(rate: float = 1e-3, **changes: Any) -> MakeOptimizer:
    return lambda parameters: torch.optim.Adam(parameters, rate, **changes)


# -- rates


def rates(run: Run, numbers: Sequence[int], values: Sequence[float]) -> list[RateSeen]:
    seen = []
    for number, value in zip(numbers, values, strict=True):
        run.optimizer.param_groups[0]["lr"] = value
        found = run.step(number, 0.1)[RateSeen]
        assert isinstance(found, RateSeen)
        seen.append(found)
    return seen


def test_steps_without_a_rate_are_counted_from_the_first_one_in_a_row() -> None:
    seen = rates(Run(sgd(), num_steps=lambda: 500), [0, 10, 20, 30, 40], [0.0, 0.0, 1.0, 0.0, 0.0])
    assert [(each.num_zero_samples, each.zero_span, each.had_rate) for each in seen] == [
        (1, 0, False), (2, 10, False), (0, 0, True), (1, 0, True), (2, 10, True),
    ]  # fmt: skip
    assert seen[-1].num_planned == 500


def test_rate_is_that_of_the_step_though_a_scheduler_follows() -> None:
    run = Run(sgd(0.5))

    def scheduler() -> None:
        run.optimizer.param_groups[0]["lr"] = 0.0

    found = run.step(0, 0.1, between=scheduler)[RateSeen]
    assert isinstance(found, RateSeen)
    assert found.largest == 0.5


def test_unknown_rates_are_not_told() -> None:
    run = Run(sgd())
    run.optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    assert RateSeen in run.step(0, 0.1)
    run.optimizer.param_groups[0]["lr"] = None
    run.watch.before_step(run.optimizer, 10)
    rates = run.watch.collectors["learning rates"]
    assert rates is not None
    nothing = np.zeros(0, dtype=np.float32)
    assert rates.observe(nothing, nothing, At(step=10, epoch=0, batch_index=10)) == ()


# -- clipping


def test_clipping_compares_norms_before_it_with_the_limit() -> None:
    run = Run(sgd(), clip_norm=lambda: 1.0)
    norm = 0.1 * (16 * 33) ** 0.5
    run.step(0, 0.01)
    found = run.steps([10, 20], 0.1)[ClippingSeen]
    assert isinstance(found, ClippingSeen)
    assert (found.num_samples, found.num_clipped, found.span, found.is_plain) == (3, 2, 20, True)
    assert found.factor == pytest.approx(1 / norm)


def test_no_clipping_no_word() -> None:
    assert ClippingSeen not in Run(sgd()).step(0, 0.1)
    found = Run(adam(), clip_norm=lambda: 1.0).step(0, 0.1)[ClippingSeen]
    assert isinstance(found, ClippingSeen)
    assert not found.is_plain


# -- decay


def decayed(make: MakeOptimizer, numbers: Sequence[int] = (0,), gradient: float = 0.1) -> DecaySeen:
    found = Run(make).steps(numbers, gradient)[DecaySeen]
    assert isinstance(found, DecaySeen)
    return found


def test_pull_of_l2_is_against_the_gradient_of_the_matrix() -> None:
    run = Run(sgd(1e-3, weight_decay=0.5))
    weight = float(run.net.weight.detach().norm())
    found = run.step(0, 0.1)[DecaySeen]
    assert isinstance(found, DecaySeen)
    assert found.pull == pytest.approx(0.5 * weight / (0.1 * (16 * 32) ** 0.5), rel=1e-4)
    assert found.shrinkage == pytest.approx(5e-4)


def test_shrinkage_by_kind_of_optimizer() -> None:
    assert decayed(sgd(0.1, weight_decay=1e-2, momentum=0.9)).shrinkage == pytest.approx(1e-2)
    adamw = decayed(lambda parameters: torch.optim.AdamW(parameters, 1e-3, weight_decay=10))
    assert (adamw.pull, adamw.shrinkage) == (None, pytest.approx(1e-2))
    assert decayed(adam(weight_decay=0.1)).shrinkage is None
    assert decayed(adam(weight_decay=0.1, decoupled_weight_decay=True)).pull is None


def test_norm_is_followed_over_two_hundred_steps() -> None:
    found = decayed(sgd(0.1, weight_decay=1.0), [0, 50, 100, 240], 1e-6)
    assert found.norm_span == 190
    assert found.norm_ratio == pytest.approx(0.81, rel=1e-3)


def test_norms_of_other_weights_are_not_compared() -> None:
    history = History()
    history.add_norm(0, 8.0, frozenset({"a", "b"}))
    history.add_norm(10, 2.0, frozenset({"a"}))
    assert list(history.norms) == [(10, 2.0)]


def test_without_decay_nothing_is_told() -> None:
    assert DecaySeen not in Run(sgd()).step(0, 0.1)


def test_optimizers_of_others_are_left_alone() -> None:
    class Own(torch.optim.SGD):
        pass

    assert DecaySeen not in Run(lambda parameters: Own(parameters, 0.1, weight_decay=1.0)).step(0, 0.1)


# -- adaptive steps


def test_size_of_adams_step_is_in_learning_rates() -> None:
    found = Run(adam(1e-2)).step(0, 0.1)[AdaptiveStepSeen]
    assert isinstance(found, AdaptiveStepSeen)
    assert found.parameters == ("weight",)
    assert found.sizes == (pytest.approx(1.0, rel=1e-3),)
    assert found.gradient_rms == (pytest.approx(0.1, rel=1e-3),)
    small = Run(adam(1e-2)).step(0, 1e-12)[AdaptiveStepSeen]
    assert isinstance(small, AdaptiveStepSeen)
    assert small.sizes[0] < 1e-3


def test_parts_that_a_batch_does_not_use_are_left_out() -> None:
    assert AdaptiveStepSeen not in Run(adam()).step(0, 0.0)
    assert AdaptiveStepSeen not in Run(sgd()).step(0, 0.1)


# -- precision


def unmoved(
    rate: float, dtype: torch.dtype, gradient: Tensor | float = 0.1, steps: Sequence[int] = range(0, 60, 10)
) -> dict[str, Any]:
    run = Run(adam(rate), dtype=dtype)
    nn.init.constant_(run.net.weight, 1.0)
    seen: dict[str, Any] = {}
    for number in steps:
        found = run.step(number, gradient).get(PrecisionSeen)
        seen |= {} if found is None else {found.where: found}
    return seen


def test_updates_below_half_a_bit_move_nothing() -> None:
    seen = unmoved(1e-4, torch.bfloat16)["bias"], unmoved(1e-2, torch.bfloat16)["bias"]
    run = Run(adam(1e-4), dtype=torch.bfloat16)
    nn.init.constant_(run.net.weight, 1.0)
    nn.init.constant_(run.net.bias, 1.0)
    found = run.steps(range(0, 60, 10), 0.1)[PrecisionSeen]
    assert isinstance(found, PrecisionSeen)
    assert (found.num_values, found.num_unchanged, found.span, found.num_samples) == (16, 16, 50, 6)
    assert found.dtype == "bfloat16"
    assert seen[1].num_unchanged == 0


def test_elements_without_a_gradient_are_not_counted() -> None:
    gradient = torch.zeros(16, 1)
    gradient[3] = 0.1
    run = Run(adam(1e-5), dtype=torch.bfloat16)
    seen = {}
    for number in range(0, 60, 10):
        for each in run.net.parameters():
            each.grad = (gradient if each.dim() == 2 else gradient[:, 0]).expand_as(each).to(each.dtype).clone()
        run.watch.before_step(run.optimizer, number)
        run.watch.end_batch()
        run.exchange.send(torch.zeros(0), At(step=number, epoch=0, batch_index=number))
        result = run.exchange.read(0)
        assert result is not None
        seen = {each.where: each for each in result[2]["precision"] if isinstance(each, PrecisionSeen)}
    assert (seen["weight"].num_values, seen["bias"].num_values) == (32, 1)


def test_one_gradient_of_zero_takes_an_element_out() -> None:
    """The optimizer may rightly leave it alone then."""
    run = Run(adam(1e-5), dtype=torch.bfloat16)
    for number in range(0, 50, 10):
        run.step(number, 0.0 if number == 20 else 0.1)
    assert PrecisionSeen not in run.step(50, 0.1)


def test_windows_that_are_too_short_tell_nothing() -> None:
    assert unmoved(1e-4, torch.bfloat16, steps=range(0, 50, 10)) == {}
    assert unmoved(1e-4, torch.bfloat16, steps=[0, 20, 40, 60]) == {}


def test_full_precision_is_not_watched() -> None:
    assert unmoved(1e-4, torch.float32) == {}


# -- scaler


def test_scale_that_falls_is_a_skipped_step() -> None:
    scale = torch.tensor([1024.0])
    run = Run(sgd(), has_scaler=True, scale=lambda: scale)
    run.step(19, 0.1, between=lambda: scale.mul_(0.5))
    run.step(20, 0.1, between=lambda: scale.mul_(2.0))
    found = run.step(30, 0.1, between=lambda: scale.mul_(0.5))[ScalerSeen]
    assert isinstance(found, ScalerSeen)
    assert (found.num_samples, found.num_skipped, found.span, found.scale) == (2, 1, 10, 512.0)


def test_no_scaler_no_word() -> None:
    assert ScalerSeen not in Run(sgd(), has_scaler=True).step(30, 0.1)
    assert Run(sgd()).watch.collectors["gradient scaler"] is None


# -- a batch that fails


def test_abandoned_batch_leaves_nothing_behind() -> None:
    scale = torch.tensor([8.0])
    run = Run(adam(1e-3, weight_decay=0.1), has_scaler=True, scale=lambda: scale)
    run.watch.before_step(run.optimizer, 0)
    run.watch.abandon()
    run.optimizer.param_groups[0]["lr"] = 0.25
    scale.fill_(4.0)
    seen = run.step(30, 0.1)
    rate, scaled = seen[RateSeen], seen[ScalerSeen]
    assert isinstance(rate, RateSeen)
    assert isinstance(scaled, ScalerSeen)
    assert (rate.largest, scaled.num_skipped) == (0.25, 0)
