"""What is watched between the steps of optimizers, in real trainings: each fault is found, and what looks like it is not."""

from __future__ import annotations

import copy
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard import Finding, NNGuard, NNGuardWarning, Severity
from lightning_nnguard.probe.schedule import is_sampled
from tests.programs import Classifier, fit, loader, seed

CODES = ["NNG202", "NNG213", "NNG221", "NNG222", "NNG226", "NNG227", "NNG511"]


def findings(module: Any, *, epochs: int = 12, **options: Any) -> list[Finding]:
    """Fit a module for `epochs` of eight steps and return what the rules of this file have to say."""
    guard = NNGuard(select=CODES, every_n_steps=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NNGuardWarning)
        fit(module, guard, max_epochs=epochs, **options)
    assert guard._error == ""
    return guard.findings


def loud(module: Any, **options: Any) -> list[str]:
    return [f"{each.code} {each.where}" for each in findings(module, **options) if each.severity > Severity.INFO]


class Task(Classifier):
    """A classifier without batch norm and dropout, whose network is given."""

    def __init__(self, net: nn.Module | None = None) -> None:
        super().__init__()
        seed()
        self.net = net or nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))  # type: ignore[assignment]

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 0.01)


class Manual(Task):
    """Calls what it is told to: "clear", "zero", "backward", "step"; a dash ends a batch."""

    def __init__(self, calls: str, *, raw: bool = False) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.calls, self.raw = [each.split() for each in calls.split("-")], raw

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers(use_pl_optimizer=not self.raw)
        for call in self.calls[batch_idx % len(self.calls)]:
            if call == "backward":
                self.manual_backward(F.cross_entropy(self(batch[0]), batch[1]))
            elif call == "step":
                optimizer.step()
            else:
                optimizer.zero_grad(set_to_none=call == "clear")


# -- the order of clearing, backward pass and step -------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [False, True], ids=["lightning", "raw"])
@pytest.mark.parametrize(
    ("calls", "code"),
    [
        ("clear backward step", ""),
        ("zero backward step", ""),
        ("backward step clear", ""),
        ("backward step zero", ""),
        ("backward - backward - backward step clear", ""),
        ("backward - backward - backward step zero", ""),
        ("clear backward step backward", ""),
        ("clear backward step step step step step", ""),
        ("backward step", "NNG221"),
        ("backward - backward step", "NNG221"),
        ("backward clear step", "NNG222"),
        ("backward zero step", "NNG222"),
        ("clear backward", "NNG227"),
        ("backward", "NNG227"),
    ],
)
def test_order_of_calls(calls: str, code: str, raw: bool) -> None:
    assert loud(Manual(calls, raw=raw)) == ([f"{code} {'' if code == 'NNG227' else 'optimizers[0]'}"] if code else [])


def test_a_long_accumulation_is_no_fault() -> None:
    assert loud(Manual("-".join([*(["backward"] * 47), "backward step clear"])), train=loader(400)) == []


class Closures(Manual):
    """The backward pass runs inside of the step, and gradients are cleared before the step or inside of it, too."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers(use_pl_optimizer=not self.raw)
        clears_inside = "clear" in self.calls[0]

        def closure() -> Tensor:
            loss = F.cross_entropy(self(batch[0]), batch[1])
            if clears_inside:
                optimizer.zero_grad()
            self.manual_backward(loss)
            return loss

        if not clears_inside:
            optimizer.zero_grad()
        optimizer.step(closure=closure)


@pytest.mark.parametrize("raw", [False, True], ids=["lightning", "raw"])
@pytest.mark.parametrize("calls", ["", "clear"], ids=["outside", "inside"])
def test_closures_are_no_fault(calls: str, raw: bool) -> None:
    assert loud(Closures(calls, raw=raw)) == []


class Adversaries(Task):
    """Backward passes of the maker leave gradients in the judge, and those stay there until the judge's turn comes."""

    def __init__(self, *, set_to_none: bool = True, clears: bool = True, judge_from: int = 0, toggles: bool = False) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.judge = nn.Linear(3, 1)
        self.set_to_none, self.clears, self.judge_from, self.toggles = set_to_none, clears, judge_from, toggles

    def turn(self, optimizer: Any, compute: Callable[[], Tensor]) -> None:
        if self.toggles:
            self.toggle_optimizer(optimizer)
        if self.clears:
            optimizer.zero_grad(set_to_none=self.set_to_none)
        self.manual_backward(compute())
        optimizer.step()
        if self.toggles:
            self.untoggle_optimizer(optimizer)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        maker, judge = self.optimizers()
        if self.global_step >= self.judge_from:
            self.turn(judge, lambda: self.judge(self(batch[0]).detach()).square().mean())
        self.turn(maker, lambda: F.cross_entropy(self(batch[0]), batch[1]) - self.judge(self(batch[0])).mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net.parameters(), 0.01), torch.optim.Adam(self.judge.parameters(), 0.01)


@pytest.mark.parametrize(
    "options", [{}, {"set_to_none": False}, {"toggles": True}, {"toggles": True, "set_to_none": False}, {"judge_from": 70}], ids=str
)
def test_adversaries_are_no_fault(options: dict[str, Any]) -> None:
    assert loud(Adversaries(**options)) == []


def test_adversaries_that_never_clear() -> None:
    (finding,) = findings(Adversaries(clears=False))
    assert finding.code == "NNG221"
    assert set(finding.places) == {"optimizers[0]", "optimizers[1]"}


class Assigns(Adversaries):
    """The judge's gradients are assigned, so nothing is left over, though they are not cleared before a backward pass."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        maker, judge = self.optimizers()
        self.turn(maker, lambda: F.cross_entropy(self(batch[0]), batch[1]))
        loss = self.judge(self(batch[0]).detach()).square().mean()
        parameters = list(self.judge.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        judge.step()


def test_assigned_gradients_are_no_fault() -> None:
    assert loud(Assigns()) == []


class Bypasses(Manual):
    """Steps an optimizer that Lightning does not know of, which writes to weights as old ones do."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.zero_grad()
        self.manual_backward(F.cross_entropy(self(batch[0]), batch[1]))
        for parameter in self.parameters():
            parameter.data.sub_(parameter.grad, alpha=0.1)


class Observes(Manual):
    """Wants gradients for themselves."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.zero_grad()
        self.manual_backward(F.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> None:
        return None


@pytest.mark.parametrize("build", [Bypasses, Observes])
@pytest.mark.filterwarnings("ignore:`LightningModule.configure_optimizers` returned `None`")
def test_training_without_a_step_that_is_no_fault(build: Callable[[str], Any]) -> None:
    assert loud(build("")) == []


class ClearsInAHook(Task):
    def on_after_backward(self) -> None:
        self.zero_grad()


class NeverSteps(Task):
    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        optimizer_closure()


class StepsEachFourth(Task):
    """Accumulates in its own way."""

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        if batch_idx % 4 == 3:
            optimizer.step(closure=optimizer_closure)
        else:
            optimizer_closure()

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        if batch_idx % 4 == 0:
            optimizer.zero_grad()


class LineSearch(Task):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


def test_automatic_optimisation() -> None:
    assert loud(ClearsInAHook()) == ["NNG222 optimizers[0]"]
    assert loud(NeverSteps(), epochs=30) == ["NNG227 "]
    assert loud(StepsEachFourth()) == []
    assert loud(LineSearch()) == []
    assert loud(Task(), accumulate_grad_batches=3) == []
    assert loud(Task(), validation=loader(), val_check_interval=2) == []


class Satisfied(Task):
    """A hinge that is satisfied leaves zeros."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.relu(self(batch[0]) - 100).mean()


def test_a_satisfied_loss_is_no_fault() -> None:
    assert loud(Satisfied()) == []


# -- parameters without a gradient -----------------------------------------------------------------------------------------------


class Wired(nn.Module):
    """A network with a spare layer, which is used in some way."""

    def __init__(self, use: Callable[[Wired, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.first, self.spare, self.head = nn.Linear(6, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.use, self.num_calls = use, 0

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        self.num_calls += 1
        out: Tensor = self.head(h if self.use is None else self.use(self, h))
        return out


def detached(net: Wired, h: Tensor) -> Tensor:
    return h + net.spare(h).detach()


#: A step that is not sampled.
RARE = 7


def rarely(net: Wired, h: Tensor) -> Tensor:
    return h + net.spare(h) if net.num_calls == RARE + 1 else h


def test_a_layer_without_gradients() -> None:
    (finding,) = findings(Task(Wired()), epochs=4, train=loader(256))
    assert finding.code == "NNG202"
    assert finding.places == ("net.spare.weight", "net.spare.bias")
    assert "`net.spare` is never called" in finding.message
    (finding,) = findings(Task(Wired(detached)), epochs=4, train=loader(256))
    assert "`net.spare` is called, but" in finding.message


def test_one_gradient_is_enough() -> None:
    assert not is_sampled(RARE, 5)
    assert loud(Task(Wired(rarely)), epochs=30) == []


def test_two_hundred_steps_are_enough() -> None:
    assert loud(Task(Wired()), epochs=1, train=loader(8 * 199)) == []
    assert loud(Task(Wired()), epochs=1, train=loader(8 * 220)) == ["NNG202 net.spare.weight"]


class Teacher(Task):
    """The optimizer holds the teacher, too, which is an average and not frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = copy.deepcopy(self.net)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with torch.no_grad():
            belief = self.teacher(batch[0]).softmax(1)
            for theirs, ours in zip(self.teacher.parameters(), self.net.parameters(), strict=True):
                theirs.data.lerp_(ours.data, 0.05)
        return F.cross_entropy(self(batch[0]), batch[1]) + F.mse_loss(self(batch[0]).softmax(1), belief)


class Frozen(Task):
    def __init__(self) -> None:
        super().__init__(Wired())
        self.net.spare.requires_grad_(False)


class HeadOnly(Task):
    """The trunk is in no optimizer; that is another rule's."""

    def __init__(self) -> None:
        super().__init__(Wired())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam([*self.net.first.parameters(), *self.net.head.parameters()], 0.01)


class Unfreezes(Frozen):
    """Thaws the spare layer, which is used from then on."""

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 6:
            self.net.spare.requires_grad_(True)
            self.net.use = lambda net, h: h + net.spare(h)


class Sparse(Task):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.embed = nn.Embedding(8, 6, sparse=True)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        loss = F.cross_entropy(self(batch[0] + self.embed(batch[1])), batch[1])
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return torch.optim.SparseAdam(self.embed.parameters(), 0.01), torch.optim.Adam(self.net.parameters(), 0.01)


@pytest.mark.parametrize("build", [Teacher, Frozen, HeadOnly, Unfreezes, Sparse, Adversaries])
def test_parameters_that_need_no_gradient(build: Callable[[], Any]) -> None:
    assert findings(build(), epochs=30) == []


def test_steps_of_an_optimizer_that_only_count_need_no_gradient() -> None:
    assert not [each for each in findings(Manual("step"), epochs=30) if each.code == "NNG202"]


class Experts(Task):
    def __init__(self) -> None:
        super().__init__(nn.ModuleList(nn.Linear(6, 3) for _ in range(4)))

    def forward(self, x: Tensor) -> Tensor:
        return self.net[0](x) + self.net[2](x)


def test_experts_are_only_mentioned() -> None:
    (finding,) = findings(Experts(), epochs=30)
    assert (finding.code, finding.severity) == ("NNG202", Severity.INFO)
    assert set(finding.places) == {f"net.{i}.{name}" for i in (1, 3) for name in ("weight", "bias")}


class Slopes(Task):
    """Learns by the slope of its output, in which the last bias has no part."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(self(x).sum(), x, create_graph=True)
        return (slope - x).square().mean()


def test_the_bias_of_a_layer_that_works_is_only_mentioned() -> None:
    (finding,) = findings(Slopes(), epochs=30)
    assert (finding.code, finding.severity, finding.where) == ("NNG202", Severity.INFO, "net.2.bias")


# -- units that are alike --------------------------------------------------------------------------------------------------------


def net_of(first: nn.Module, value: float, second: nn.Module) -> nn.Sequential:
    """Return two layers of which the first starts constant, before a sum that treats its units alike."""
    nn.init.constant_(first.weight, value)  # type: ignore[arg-type]
    nn.init.zeros_(first.bias)  # type: ignore[arg-type]
    return nn.Sequential(first, nn.Tanh(), second)


class Image(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :4].view(-1, 1, 2, 2)


class Blind(nn.Linear):
    """A head with the same weights for all its inputs."""

    def __init__(self, num: int) -> None:
        super().__init__(num, 3)
        with torch.no_grad():
            self.weight.copy_(self.weight[:, :1].expand_as(self.weight))


def test_constant_layers() -> None:
    assert loud(Task(net_of(nn.Linear(6, 16), 0.1, Blind(16))), epochs=6) == ["NNG213 net.0.weight"]
    filters = [nn.Conv2d(1, 4, 2), nn.ConvTranspose2d(1, 4, 2)]
    for filter_ in filters:
        nn.init.constant_(filter_.weight, 0.1)
        nn.init.zeros_(filter_.bias)  # type: ignore[arg-type]
    conv = nn.Sequential(Image(), filters[0], nn.Flatten(), nn.Tanh(), Blind(4))
    assert loud(Task(conv), epochs=6) == ["NNG213 net.1.weight"]
    transposed = nn.Sequential(Image(), filters[1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Tanh(), Blind(4))
    assert loud(Task(transposed), epochs=6) == ["NNG213 net.1.weight"]


def test_layers_that_separate() -> None:
    assert loud(Task(net_of(nn.Linear(6, 16), 0.1, nn.Linear(16, 3))), epochs=6) == []
    head = nn.Linear(16, 3)
    nn.init.zeros_(head.weight)
    assert loud(Task(nn.Sequential(nn.Linear(6, 16), nn.Tanh(), head)), epochs=6) == []


class Frost(Task):
    """Equal units that are not trained, or not yet."""

    def __init__(self, rate: float) -> None:
        super().__init__(net_of(nn.Linear(6, 16), 0.1, Blind(16)))
        self.net[0].requires_grad_(rate > 0)
        self.rate = rate

    def configure_optimizers(self) -> Any:
        groups = [{"params": self.net[0].parameters(), "lr": 0.0}, {"params": self.net[2].parameters()}]
        return torch.optim.Adam(groups, 0.01)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_layers_that_do_not_move(rate: float) -> None:
    assert loud(Frost(rate), epochs=6) == []


# -- graphs that are kept --------------------------------------------------------------------------------------------------------


class Keeps(Task):
    """Keeps something of each step."""

    def __init__(self, keep: Callable[[Any, Tensor], None], *, clears: bool = False) -> None:
        super().__init__()
        self.kept: Any = []
        self.keep, self.clears = keep, clears

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.keep(self, loss)
        return loss

    def on_train_epoch_end(self) -> None:
        if self.clears:
            self.kept.clear()

    def on_train_end(self) -> None:
        self.kept = []


def in_dicts(module: Any, loss: Tensor) -> None:
    module.kept.append({"loss": loss, "step": 1})


def in_a_sum(module: Any, loss: Tensor) -> None:
    module.kept = loss + (module.kept or 0.0)


def as_numbers(module: Any, loss: Tensor) -> None:
    module.kept.append(loss.detach())


def in_a_window(module: Any, loss: Tensor) -> None:
    module.kept = deque(module.kept, maxlen=100)
    module.kept.append(loss)


def in_bursts(module: Any, loss: Tensor) -> None:
    module.kept = [*(module.kept if module.global_step % 8 else ()), *(loss + i for i in range(30))]


def in_the_trainer(module: Any, loss: Tensor) -> None:
    module.trainer.kept = [*getattr(module.trainer, "kept", []), loss.detach()]


@pytest.mark.parametrize("keep", [in_dicts, in_a_sum])
def test_graphs_that_are_kept(keep: Callable[[Any, Tensor], None]) -> None:
    assert loud(Keeps(keep), epochs=28) == ["NNG226 kept"]


@pytest.mark.parametrize("keep", [as_numbers, in_a_window, in_bursts, in_the_trainer])
def test_what_holds_no_graphs_or_not_more_and_more(keep: Callable[[Any, Tensor], None]) -> None:
    assert loud(Keeps(keep), epochs=40) == []


def test_graphs_that_each_epoch_clears_are_only_mentioned() -> None:
    assert findings(Keeps(in_dicts, clears=True), epochs=4, train=loader(8 * 150)) == []
    (found,) = findings(Keeps(in_dicts, clears=True), epochs=2, train=loader(8 * 250))
    assert (found.code, found.where, found.severity) == ("NNG226", "kept", Severity.INFO)


class Episode(Task):
    """Collects terms of a loss over many batches for one backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.terms: list[Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.terms.append(F.cross_entropy(self(batch[0]), batch[1]))
        if len(self.terms) == 240:
            optimizer: Any = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(torch.stack(self.terms).mean())
            optimizer.step()
            self.terms.clear()


def test_an_episode_is_no_leak() -> None:
    assert loud(Episode(), epochs=60) == []


# -- frozen parameters -----------------------------------------------------------------------------------------------------------


class Freezes(Task):
    """Freezes its first layer after two epochs, and clears gradients to zero or to None."""

    def __init__(self, *, set_to_none: bool, momentum: float = 0.9, teacher: bool = False) -> None:
        super().__init__()
        self.set_to_none, self.momentum, self.teacher = set_to_none, momentum, teacher

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 2:
            self.net[0].requires_grad_(False)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.teacher and self.current_epoch >= 2:
            self.net[0].weight.data.mul_(0.999)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        optimizer.zero_grad(set_to_none=self.set_to_none)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.05, momentum=self.momentum)


def test_frozen_parameters_that_momentum_moves() -> None:
    (finding,) = findings(Freezes(set_to_none=False), epochs=6)
    assert (finding.code, finding.where, finding.step) == ("NNG511", "net.0.weight", 17)
    assert finding.places == ("net.0.weight", "net.0.bias")


@pytest.mark.parametrize(
    "options",
    [{"set_to_none": True}, {"set_to_none": False, "momentum": 0.0}, {"set_to_none": True, "teacher": True}],
    ids=["no gradient", "nothing moves them", "moved by hand"],
)
def test_frozen_parameters_that_stay(options: dict[str, Any]) -> None:
    assert loud(Freezes(**options), epochs=6) == []
