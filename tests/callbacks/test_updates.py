"""The update ratio is the truth, whatever the optimizer does; gradient norms are those before clipping, unscaled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from lightning_nnguard import GradientHistogram, NNGuard, UpdateRatio
from lightning_nnguard.observation import GradientNormSeen, GradientSeen, NonFiniteSeen, Seen, UpdateProfileSeen, UpdateSeen
from lightning_nnguard.probe.updates import turns
from tests.programs import Classifier, fit, seed


class Truth(pl.Callback):
    """Measures each step in the plainest way: a copy of all weights at the start of a batch, compared at its end."""

    def __init__(self) -> None:
        self.step = -1
        self.updates: dict[tuple[int, str], float] = {}
        self.weights: dict[tuple[int, str], float] = {}

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.now = trainer.fit_loop.epoch_loop._batches_that_stepped
        if self.now != self.step:  # the first micro-batch of a step
            self.step = self.now
            self.before = {name: each.detach().double().clone() for name, each in pl_module.named_parameters()}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        for name, each in pl_module.named_parameters():
            self.updates[self.step, name] = float((each.detach().double() - self.before[name]).norm())
            self.weights[self.step, name] = float(self.before[name].norm())


def agrees(seen: Sequence[Seen], truth: Truth, *, rel: float = 1e-6) -> list[UpdateSeen]:
    """Assert that all updates seen are the true ones, and return them."""
    updates = [each for each in seen if isinstance(each, UpdateSeen)]
    assert updates
    for each in updates:
        update, weight = truth.updates[each.step, each.where], truth.weights[each.step, each.where]
        # What is left is the rounding of weights themselves, which both see alike, and of float32 sums.
        assert each.update_norm == pytest.approx(update, rel=rel, abs=1e-12), each
        assert each.weight_norm == pytest.approx(weight, rel=rel, abs=1e-12), each
        assert each.ratio == pytest.approx(update / weight if weight else each.ratio, rel=2 * rel, abs=1e-12), each
    return updates


class Chooses(Classifier):
    """A classifier with a given optimizer. No batch norm, so that every gradient means something."""

    def __init__(self, build: Callable[..., torch.optim.Optimizer], **options: Any) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))  # type: ignore[assignment]
        self.build, self.options = build, options

    def configure_optimizers(self) -> Any:
        return self.build(self.parameters(), **self.options)


OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "SGD": (torch.optim.SGD, {"lr": 0.1}),
    "SGD with momentum and decay": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    "Adam": (torch.optim.Adam, {"lr": 0.01}),
    "AdamW fused": (torch.optim.AdamW, {"lr": 0.01, "fused": True}),
    "AdamW foreach": (torch.optim.AdamW, {"lr": 0.01, "foreach": True}),
    "Adafactor": (torch.optim.Adafactor, {"lr": 0.01}),
    "LBFGS": (torch.optim.LBFGS, {"lr": 0.5, "max_iter": 4}),
    "LBFGS strong Wolfe": (torch.optim.LBFGS, {"lr": 0.5, "max_iter": 4, "line_search_fn": "strong_wolfe"}),
    "tensor learning rate": (torch.optim.Adam, {"lr": torch.tensor(0.01)}),
}


@pytest.mark.pitfall(8)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_true_update(name: str, seen: list[Seen]) -> None:
    build, options = OPTIMIZERS[name]
    truth = Truth()
    fit(Chooses(build, **options), truth, UpdateRatio(every_n_steps=2))
    updates = agrees(seen, truth)
    assert all(each.gradient_norm is not None for each in updates)
    assert "LBFGS" in name or all(each.update_norm > 0 for each in updates)
    assert {round(each.learning_rate, 6) for each in updates} == {round(float(options["lr"]), 6)}


@pytest.mark.pitfall(8)
@pytest.mark.parametrize("options", [{"accumulate_grad_batches": 2}, {"accumulate_grad_batches": 3}, {"gradient_clip_val": 1e-3}])
def test_true_update_with_accumulation_and_clipping(options: dict[str, Any], seen: list[Seen]) -> None:
    truth = Truth()
    fit(Chooses(torch.optim.SGD, lr=0.1), truth, UpdateRatio(every_n_steps=1), **options)
    agrees(seen, truth)


class Manual(Classifier):
    """Two optimizers; the way each one steps is chosen."""

    def __init__(self, step: str, **options: Any) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))  # type: ignore[assignment]
        self.critic = nn.Linear(3, 1)
        self.step, self.options = step, options

    def training_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        losses = [lambda: F.cross_entropy(self(x), y), lambda: self.critic(self(x).detach()).square().mean()]
        for optimizer, compute in zip(self.optimizers(), losses, strict=True):

            def closure(optimizer: Any = optimizer, compute: Any = compute) -> Tensor:
                optimizer.zero_grad()
                loss: Tensor = compute()
                self.manual_backward(loss)
                return loss

            if self.step == "closure":
                optimizer.step(closure=closure)
                continue
            closure()
            (optimizer if self.step == "lightning" else optimizer.optimizer).step()

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net.parameters(), 0.01), torch.optim.SGD(self.critic.parameters(), 0.02)


@pytest.mark.pitfall(14)
@pytest.mark.parametrize("step", ["lightning", "raw", "closure"])
def test_true_update_with_manual_optimisation(step: str, seen: list[Seen]) -> None:
    truth, module = Truth(), Manual(step)
    gradients: dict[tuple[int, str], float] = {}

    class Gradients(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            gradients.update({(truth.step, name): float(each.grad.norm()) for name, each in pl_module.named_parameters()})

    fit(module, truth, Gradients(), UpdateRatio(every_n_steps=2), max_epochs=1)
    updates = agrees(seen, truth)
    assert {each.where for each in updates} == {name for name, _ in module.named_parameters()}
    rates = {each.where.partition(".")[0]: each.learning_rate for each in updates}
    assert rates == {"net": 0.01, "critic": 0.02}
    for each in seen:
        if isinstance(each, GradientSeen):
            assert each.norm == pytest.approx(gradients[each.step, each.where], rel=1e-5), each


class Alternates(Manual):
    """Optimizers take turns from batch to batch."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        first, second = self.optimizers()
        optimizer = second if batch_idx % 2 else first
        loss = self.critic(self(x).detach()).square().mean() if batch_idx % 2 else F.cross_entropy(self(x), y)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


@pytest.mark.pitfall(14)
def test_optimizers_that_take_turns_are_no_fault(seen: list[Seen]) -> None:
    truth, guard = Truth(), NNGuard(every_n_steps=1)
    fit(Alternates("lightning"), truth, guard, max_epochs=6)
    agrees(seen, truth)
    assert guard.findings == []


def cpu_scaler(**options: Any) -> MixedPrecision:
    return MixedPrecision("16-mixed", device="cpu", scaler=torch.amp.GradScaler("cpu", **options))


@pytest.mark.pitfall(10)
@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_the_scaler_skips_are_quiet(fused: bool, seen: list[Seen]) -> None:
    """A scale far too large: the first steps overflow and are skipped."""
    truth, guard = Truth(), NNGuard(every_n_steps=1)
    plugins = [cpu_scaler(init_scale=2.0**127, backoff_factor=2.0**-10)]
    fit(Chooses(torch.optim.AdamW, lr=0.01, fused=fused), truth, guard, plugins=plugins, max_epochs=4)
    updates = agrees(seen, truth)
    skipped = sorted({each.step for each in updates if each.step_skipped})
    assert skipped
    assert skipped == list(range(len(skipped)))
    assert all(each.update_norm == 0 for each in updates if each.step_skipped)
    assert all(each.update_norm > 0 for each in updates if not each.step_skipped)
    assert [each.num_skips for each in seen if isinstance(each, NonFiniteSeen)] == [step + 1 for step in skipped]
    assert guard.findings == []


@pytest.mark.pitfall(9)
@pytest.mark.parametrize("fused", [False, True])
def test_gradients_are_unscaled(fused: bool, seen: list[Seen]) -> None:
    def norms(**options: Any) -> list[float]:
        seed(3)
        seen.clear()
        module = Chooses(torch.optim.AdamW, lr=0.01, fused=fused)
        fit(module, GradientHistogram(every_n_steps=2), max_epochs=1, **options)
        return [each.norm for each in seen if isinstance(each, GradientSeen)]

    scaled, plain = norms(plugins=[cpu_scaler(init_scale=2.0**12)]), norms()
    assert scaled == pytest.approx(plain, rel=0.05, abs=1e-3)  # float16 against float32


@pytest.mark.pitfall(8)
def test_gradients_are_those_before_clipping(seen: list[Seen]) -> None:
    def norms(**options: Any) -> tuple[list[float], list[float]]:
        seed(3)
        seen.clear()
        fit(Chooses(torch.optim.SGD, lr=0.0), NNGuard(every_n_steps=1, select=["gradients"]), max_epochs=1, **options)
        total = [each.norms[-1] for each in seen if isinstance(each, GradientNormSeen)]
        return [each.norm for each in seen if isinstance(each, GradientSeen)], total

    plain, clipped = norms(), norms(gradient_clip_val=1e-4)
    assert clipped == plain
    assert min(plain[1]) > 1e-2
    per_step = len(plain[0]) // len(plain[1])
    assert sum(norm**2 for norm in plain[0][:per_step]) ** 0.5 == pytest.approx(plain[1][0], rel=1e-5)


@pytest.mark.pitfall(8)
@pytest.mark.pitfall(11)
def test_accumulated_gradients_are_the_sum_of_all_micro_batches(seen: list[Seen]) -> None:
    def norms(num: int) -> list[float]:
        seed(3)
        seen.clear()
        from tests.programs import loader

        module = Chooses(torch.optim.SGD, lr=0.1)
        fit(module, GradientHistogram(every_n_steps=1), train=loader(64, 8 // num), accumulate_grad_batches=num, max_epochs=1)
        return [each.norm for each in seen if isinstance(each, GradientSeen)]

    assert norms(2) == pytest.approx(norms(1), rel=1e-4)


# -- snapshots in turns ----------------------------------------------------------------------------------------------------------


def test_a_small_budget_covers_the_parameters_in_turns(seen: list[Seen]) -> None:
    truth = Truth()
    module = Chooses(torch.optim.Adam, lr=0.01)
    largest = max(each.numel() * each.element_size() for each in module.parameters())
    fit(module, truth, UpdateRatio(every_n_steps=1, snapshot_bytes=largest + 1), max_epochs=2)
    updates = agrees(seen, truth)
    names = {name: each.numel() * each.element_size() for name, each in module.named_parameters()}
    assert {each.where for each in updates} == set(names)
    for step in {each.step for each in updates}:
        assert sum(names[each.where] for each in updates if each.step == step) <= largest + 1
    profiles = [each for each in seen if isinstance(each, UpdateProfileSeen)]
    assert set(profiles[-1].parameters) == {"net.0.weight", "net.2.weight"}


def test_turns() -> None:
    assert turns([], 10) == []
    assert turns([4, 4, 4], 100) == [[0, 1, 2]]
    assert turns([4, 4, 4], 8) == [[0, 1], [2]]
    assert turns([4, 40, 4], 8) == [[0], [1], [2]]
    assert turns([0, 0, 8, 1], 8) == [[0, 1, 2], [3]]


def test_frozen_and_foreign_parameters(seen: list[Seen]) -> None:
    """A frozen layer is not looked at; a layer that no optimizer holds is, and is found."""

    class Forgets(Chooses):
        def __init__(self) -> None:
            super().__init__(torch.optim.SGD, lr=0.1)
            self.frozen = nn.Linear(6, 6).requires_grad_(False)
            self.forgotten = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.forgotten(self.frozen(x)))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.net.parameters(), 0.1)

    truth, guard = Truth(), NNGuard(every_n_steps=1, select=["updates", "parameter-not-optimized"])
    with pytest.warns(UserWarning, match="NNG203"):
        fit(Forgets(), truth, guard, max_epochs=4)
    updates = agrees(seen, truth)
    assert not any(each.where.startswith("frozen") for each in updates)
    forgotten = [each for each in updates if each.where.startswith("forgotten")]
    assert all(not each.in_optimizer and each.update_norm == 0 and each.gradient_norm for each in forgotten)
    (finding,) = guard.findings
    assert finding.name == "parameter-not-optimized"
    assert {place["where"] if isinstance(place, dict) else place for place in finding.places} >= {"forgotten.weight"}
