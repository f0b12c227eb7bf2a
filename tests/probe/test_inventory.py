"""The inventory of a fit: who trains which parameter, what optimizers hold, who updates which metric; in real trainings."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchmetrics
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from lightning_nnguard import NNGuard
from lightning_nnguard.observation import MetricSeen, ModelSeen, MonitorSeen, OptimizerSeen, ParameterSeen, Seen
from lightning_nnguard.probe.inventory.steps import BatchSteps
from lightning_nnguard.probe.inventory.traces import Traces
from tests.programs import Classifier, fit, loader

RULES = ["NNG203", "NNG204", "NNG205", "NNG206", "NNG219", "NNG223", "NNG224", "NNG225", "NNG513"]
pytestmark = pytest.mark.filterwarnings("ignore::lightning_nnguard.NNGuardWarning")


def said(module: Any, *callbacks: Any, **changes: Any) -> list[tuple[str, str]]:
    """Fit under these rules alone and return code and place of each finding."""
    guard = NNGuard(select=RULES, every_n_steps=2)
    fit(module, guard, *callbacks, **{"validation": loader(24), "max_epochs": 3, **changes})
    assert guard._error == ""
    return [(finding.code, finding.where) for finding in guard.findings]


class Manual(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


# -- who trains a parameter ------------------------------------------------------------------------------------------------------


class Averaged(Classifier):
    """Keeps an average of itself as torch users write it: a deep copy that requires gradients, moved in place."""

    def __init__(self) -> None:
        super().__init__()
        self.average = copy.deepcopy(self.net)

    def on_train_batch_end(self, *args: Any) -> None:
        with torch.no_grad():
            for theirs, ours in zip(self.average.parameters(), self.net.parameters(), strict=True):
                theirs.lerp_(ours, 0.1)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.net.parameters(), 0.05)


class ByHand(Classifier):
    """Moves its head by hand, past all optimizers."""

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        for parameter in self.net.head.parameters():
            parameter.data -= 0.05 * parameter.grad
            parameter.grad = None if parameter.dim() == 1 else parameter.grad

    def configure_optimizers(self) -> Any:
        head = set(self.net.head.parameters())
        return torch.optim.SGD([each for each in self.parameters() if each not in head], 0.05)


class Master(torch.optim.SGD):
    """Holds copies, or one flat one, and writes them back, as libraries do for mixed precision, sharding and offloading."""

    def __init__(self, parameters: Any, *, flat: bool, dtype: torch.dtype, **changes: Any) -> None:
        self.own = list(parameters)
        copies = [each.detach().clone().to(dtype).requires_grad_() for each in self.own]
        if flat:
            copies = [torch.cat([each.detach().reshape(-1) for each in copies]).requires_grad_()]
        self.flat = flat
        super().__init__(copies, **changes)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = [each.grad.clone() for each in self.own]
        copies: list[Tensor] = self.param_groups[0]["params"]
        if self.flat:
            gradients = [torch.cat([each.reshape(-1) for each in gradients])]
        for each, gradient in zip(copies, gradients, strict=True):
            each.grad = gradient.to(each)
        super().step()
        super().zero_grad()
        parts = copies[0].split([each.numel() for each in self.own]) if self.flat else copies
        for each, part in zip(self.own, parts, strict=True):
            each.copy_(part.view_as(each))
        return loss


class WithMaster(Classifier):
    """Warms up from a learning rate of 0: the first step moves nothing."""

    def __init__(self, dtype: torch.dtype, *, flat: bool = False) -> None:
        super().__init__()
        self.flat, self.copy_type = flat, dtype

    def configure_optimizers(self) -> Any:
        optimizer = Master(self.parameters(), flat=self.flat, dtype=self.copy_type, lr=0.05)
        schedule = LambdaLR(optimizer, lambda step: min(step / 4, 1.0))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class NoOptimizer(Classifier):
    """Collects squared gradients, and trains nothing."""

    def on_after_backward(self) -> None:
        self.fisher = [each.grad.square() for each in self.parameters()]

    def configure_optimizers(self) -> None:
        return None


class OutsideLoss(Classifier):
    """Parameters of a loss outside of the model, and of the shape of a spare copy inside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(16, 3)
        object.__setattr__(self, "outside", nn.Linear(16, 3))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) + 1e-3 * self.outside(torch.ones(1, 16)).square().sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([*self.net.parameters(), *self.outside.parameters()], 0.05)


class Clears(Manual):
    """Clears all gradients at the end of its step, so that none is left when the batch ends."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten = nn.Linear(6, 6)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        loss = F.cross_entropy(self.net(self.forgotten(batch[0])), batch[1])
        self.manual_backward(loss)
        self.optimizers().step()
        self.zero_grad()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.net.parameters(), 0.05)


@pytest.mark.filterwarnings("ignore:`LightningModule.configure_optimizers` returned `None`")
@pytest.mark.parametrize(
    "build",
    [
        Classifier, Averaged, ByHand, NoOptimizer, OutsideLoss, lambda: WithMaster(torch.float64),
        lambda: WithMaster(torch.float32), lambda: WithMaster(torch.float32, flat=True),
    ],
    ids=["plain", "average", "by hand", "no optimizer", "outside loss", "master copies", "offloaded copies", "flat copy"],
)  # fmt: skip
def test_silent_when_all_is_meant(build: Any) -> None:
    assert said(build()) == []


def test_what_is_trained_outside_of_the_model_replaces_nothing(seen: list[Seen]) -> None:
    class UsesSpare(OutsideLoss):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return super().training_step(batch, batch_idx) + self.spare(torch.ones(1, 16)).square().sum()

    assert said(UsesSpare()) == [("NNG203", "spare.weight")]
    held = next(each for each in seen if isinstance(each, OptimizerSeen))
    assert (held.num_tensors, held.num_foreign, held.num_stale) == (len(list(Classifier().parameters())) + 2, 2, 0)


def test_an_average_that_moves_hides_nobody_else() -> None:
    class Forgets(Averaged):
        def __init__(self) -> None:
            super().__init__()
            self.forgotten = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.forgotten(x))

    assert said(Forgets()) == [("NNG203", "forgotten.weight")]


def test_a_gradient_that_is_cleared_at_once_is_seen() -> None:
    assert said(Clears(), validation=None, max_epochs=1) == [("NNG203", "forgotten.weight")]


def test_a_parameter_that_is_moved_by_hand_is_called_that(seen: list[Seen]) -> None:
    said(ByHand())
    head = [each for each in seen if isinstance(each, ParameterSeen) and each.where == "net.head.weight"]
    assert head[0].num_optimizers == 0
    assert head[0].receives_gradient
    assert head[0].is_written
    rest = [each for each in seen if isinstance(each, ParameterSeen) and each.where == "net.first.weight"]
    assert not any(each.is_written for each in rest)


class Copied(Classifier):
    """Builds its optimizer from a copy of itself."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(copy.deepcopy(self.net).parameters(), 0.05)


def test_an_optimizer_of_a_copy_is_stale(seen: list[Seen]) -> None:
    assert said(Copied()) == [("NNG205", "optimizers[0]")]
    held = next(each for each in seen if isinstance(each, OptimizerSeen))
    num = len(list(Copied().parameters()))
    assert (held.num_tensors, held.num_foreign, held.num_stale) == (num, num, num)
    assert held.replaced_by == tuple(name for name, _ in Copied().named_parameters())[:3]


class Compiled(Classifier):
    """Compiles its network, and forgets one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.compiled = torch.compile(nn.Sequential(nn.Linear(6, 6)), backend="eager")
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.compiled(x))  # type: ignore[no-any-return]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.compiled.parameters(), 0.05)


def test_compiled_code_hides_nothing() -> None:
    try:
        assert said(Compiled(), validation=None) == [("NNG203", "last.weight")]
    finally:
        torch._dynamo.reset()


# -- what is told, and when ------------------------------------------------------------------------------------------------------


def test_an_inventory_is_told_three_times_unless_it_changes(seen: list[Seen]) -> None:
    said(Classifier(), max_epochs=5)
    heads = [each.step for each in seen if isinstance(each, ParameterSeen) and each.where == "net.head.weight"]
    assert len(heads) == 3
    assert heads[0] == 0
    assert heads[2] >= 8  # in the second epoch
    assert len([each for each in seen if isinstance(each, ModelSeen)]) == 1


class Thaws(Classifier):
    def __init__(self, epochs: Sequence[int]) -> None:
        super().__init__()
        self.net.first.requires_grad_(False)
        self.epochs = epochs

    def on_train_epoch_start(self) -> None:
        self.net.first.requires_grad_(self.current_epoch in self.epochs)
        if self.current_epoch == 4:
            self.trainer.optimizers[0].add_param_group({"params": self.net.first.parameters()})

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([each for each in self.parameters() if each.requires_grad], 0.05)


def test_unfreezing_is_told_and_so_is_its_cure() -> None:
    guard = NNGuard(select=RULES, every_n_steps=1)
    fit(Thaws([2, 3, 4, 5]), guard, max_epochs=6)
    (finding,) = guard.findings
    assert (finding.code, finding.where, finding.epoch) == ("NNG513", "net.first.weight", 2)
    assert finding.recovered is not None
    assert finding.recovered >= 4 * 8


# -- the size of what is trained -------------------------------------------------------------------------------------------------


class Sized(Classifier):
    """Compares a few of its targets twice, and leaves out some.

    Args:
        change: What is done to the network before.
    """

    def __init__(self, change: Any = None, **loss: Any) -> None:
        super().__init__()
        if change is not None:
            change(self.net)
        self.arguments = loss

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        logits = self(batch[0])
        return F.cross_entropy(logits, batch[1], **self.arguments) + F.cross_entropy(logits[:4], batch[1][:4])


def _train_gains(net: Any) -> None:
    net.norm.weight.data[0] = 2.0


@pytest.mark.parametrize(
    ("build", "num_targets", "is_fine_tuned"),
    [
        (Sized, 96.0, False),  # 64 samples; 12 targets for each 8
        (lambda: Sized(ignore_index=0), 72.0, False),  # the first batch holds class 0 three times
        (lambda: Sized(_train_gains), 96.0, True),
        (lambda: Sized(lambda net: net.second.requires_grad_(False)), 96.0, True),
    ],
    ids=["plain", "ignored", "trained gains", "frozen part"],
)
def test_the_size_of_what_is_trained(build: Any, num_targets: float, is_fine_tuned: bool, seen: list[Seen]) -> None:
    module = build()
    said(module)
    (size,) = (each for each in seen if isinstance(each, ModelSeen))
    parameters = list(module.parameters())
    trainable = [each for each in parameters if each.requires_grad]
    assert (size.num_parameters, size.num_trainable) == (len(parameters), len(trainable))
    assert size.num_values == sum(each.numel() for each in trainable)
    assert size.num_targets == num_targets
    assert size.is_fine_tuned == is_fine_tuned


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 4}], ids=["each batch", "accumulated"])
def test_nothing_to_train_is_said_though_the_run_ends(options: dict[str, Any]) -> None:
    module, guard = Classifier(), NNGuard(select=RULES, every_n_steps=50)
    module.requires_grad_(False)
    with pytest.raises(RuntimeError, match="does not require grad"):
        fit(module, guard, **options)
    assert [finding.code for finding in guard.findings] == ["NNG206"]


def test_a_detached_loss_is_another_fault() -> None:
    class Detaches(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return super().training_step(batch, batch_idx).detach()

    guard = NNGuard(select=RULES)
    with pytest.raises(RuntimeError, match="does not require grad"):
        fit(Detaches(), guard)
    assert guard.findings == []


def test_a_tensor_outside_of_a_frozen_model_can_be_trained() -> None:
    class Draws(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.requires_grad_(False)
            self.image = torch.zeros(4, 6, requires_grad=True)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self(self.image), torch.zeros(4, dtype=torch.long))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam([self.image], 0.05)

    assert said(Draws()) == []


# -- traces ----------------------------------------------------------------------------------------------------------------------


def test_traces_know_what_is_new_what_was_frozen_and_what_moves() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3).requires_grad_(False))
    traces = Traces(model)
    traces.look()
    traces.keep_values(held={id(model[0].weight)})
    model[1].requires_grad_(True)
    model.append(nn.Linear(3, 3))
    traces.look()
    found = {name: traces.of(name) for name, _ in model.named_parameters()}
    assert [name for name, trace in found.items() if trace.is_new] == ["2.weight", "2.bias"]
    assert [name for name, trace in found.items() if trace.was_frozen] == ["1.weight", "1.bias"]
    assert found["0.weight"].values is None
    bias = found["0.bias"]
    assert not bias.moves(model[0].bias)
    model[0].bias.data += 1
    assert bias.moves(model[0].bias)
    assert not bias.moves(model[0].bias)


def test_traces_keep_nothing_alive_and_take_nobody_for_another() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    traces = Traces(model)
    traces.look()
    traces.keep_values(held=set())
    assert weakref.getweakrefs(model[0].weight) == []
    gone = weakref.ref(model[0].weight)
    model[0] = nn.Linear(3, 3)
    gc.collect()
    assert gone() is None
    traces.look()
    weight = model[0].weight
    assert not traces.of("0.weight").moves(weight)  # another parameter is no change of the first
    weight.data += 1
    assert traces.of("0.weight").moves(weight)


# -- optimizers that share -------------------------------------------------------------------------------------------------------


def stepped(*, backward_between: bool, clears: str = "none", others: bool = True) -> tuple[int, int]:
    """Step two optimizers over one weight and return its repeats, and how many alike optimizers stepped."""
    model = nn.Linear(2, 2)
    extra = nn.Linear(2, 2)
    first = torch.optim.SGD(model.parameters(), 0.1)
    second = torch.optim.SGD([*model.parameters(), *(extra.parameters() if others else ())], 0.1)
    steps = BatchSteps(model, [first, second])

    def backward() -> None:
        (model(torch.ones(1, 2)).square().sum() + extra(torch.ones(1, 2)).sum()).backward()

    backward()
    steps.note_step(first)
    first.step()
    if clears != "none":
        second.zero_grad(set_to_none=clears == "gone")
    if backward_between:
        backward()
    steps.note_step(second)
    second.step()
    return steps.num_repeats[id(model.weight)], steps.num_alike(model.weight)


def test_a_gradient_used_twice_counts() -> None:
    assert stepped(backward_between=False) == (1, 1)


@pytest.mark.parametrize("clears", ["none", "zero", "gone"])
def test_a_backward_pass_between_the_steps_makes_another_gradient(clears: str) -> None:
    assert stepped(backward_between=True, clears=clears) == (0, 1)


def test_one_optimizer_may_use_a_gradient_again() -> None:
    model = nn.Linear(2, 2)
    first, second = (torch.optim.SGD(model.parameters(), 0.1) for _ in range(2))
    steps = BatchSteps(model, [first, second])
    model(torch.ones(1, 2)).sum().backward()
    for _ in range(2):
        steps.note_step(first)
    assert not steps.num_repeats


def test_optimizers_of_exactly_the_same_parameters_are_alike() -> None:
    assert stepped(backward_between=True, clears="gone", others=False) == (0, 2)


class TakesTurns(Manual):
    """Adam for the first epoch, then LBFGS, over the same parameters."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        adam, lbfgs = self.optimizers()

        def closure() -> Tensor:
            self.zero_grad()
            loss = F.cross_entropy(self(batch[0]), batch[1])
            self.manual_backward(loss)
            return loss

        (adam if self.current_epoch == 0 else lbfgs).step(closure)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 1e-2), torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


class SharedTrunk(Manual):
    """Two tasks, each with a backward pass and an optimizer for the trunk and its own head; closures, or raw optimizers."""

    def __init__(self, *, raw: bool) -> None:
        super().__init__()
        self.other = nn.Linear(6, 2)
        self.trunk = nn.Linear(6, 6)
        self.raw = raw

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for head, target, optimizer in zip(
            (self.net, self.other), (batch[1], batch[1] % 2), self.optimizers(use_pl_optimizer=not self.raw), strict=True
        ):

            def closure(head: Any = head, target: Tensor = target, optimizer: Any = optimizer) -> Tensor:
                optimizer.zero_grad()
                loss = F.cross_entropy(head(self.trunk(batch[0])), target)
                self.manual_backward(loss)
                return loss

            if self.raw:
                closure()
                optimizer.step()
            else:
                optimizer.step(closure)

    def configure_optimizers(self) -> Any:
        heads = (self.net, self.other)
        return [torch.optim.SGD([*self.trunk.parameters(), *head.parameters()], 0.05) for head in heads]


@pytest.mark.parametrize(
    "build", [TakesTurns, lambda: SharedTrunk(raw=False), lambda: SharedTrunk(raw=True)], ids=["turns", "closures", "raw"]
)
def test_silent_when_optimizers_share_in_good_order(build: Any) -> None:
    assert said(build(), validation=None) == []


def test_a_raw_step_on_a_used_gradient_is_seen() -> None:
    class Twice(SharedTrunk):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizers = self.optimizers(use_pl_optimizer=False)
            h = self.trunk(batch[0])
            self.zero_grad()
            self.manual_backward(F.cross_entropy(self.net(h), batch[1]) + F.cross_entropy(self.other(h), batch[1] % 2))
            for optimizer in optimizers:
                optimizer.step()

    assert said(Twice(raw=True), validation=None) == [("NNG204", "trunk.weight")]


# -- metrics ---------------------------------------------------------------------------------------------------------------------


class Measured(Classifier):
    """Measures accuracy in both stages.

    Args:
        how: How the metric is used.
        metric: The metric.
    """

    def __init__(self, how: str, metric: Any = None) -> None:
        super().__init__()
        self.how = how
        self.accuracy = MulticlassAccuracy(3) if metric is None else metric

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        logits = self(batch[0])
        if self.how == "updated":
            self.accuracy.update(logits, batch[1])
        else:
            value = self.accuracy(logits, batch[1])
            if self.how == "logged" and stage == "val":
                (self.log_dict if isinstance(value, dict) else self._log)(self.accuracy)
            elif not isinstance(value, dict):
                self.log(f"{stage}_acc", value)
        return F.cross_entropy(logits, batch[1])

    def _log(self, metric: Any) -> None:
        self.log("val_acc", metric)

    def on_validation_epoch_start(self) -> None:
        if self.how == "reset":
            self.accuracy.reset()

    def on_validation_epoch_end(self) -> None:
        if self.how == "updated":
            self.log("val_acc", self.accuracy.compute())
            self.accuracy.reset()
        elif self.how == "reset":
            self.accuracy.compute()


class TwoMetrics(Measured):
    def __init__(self) -> None:
        super().__init__("logged")
        self.train_accuracy = MulticlassAccuracy(3)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.log("train_acc", self.train_accuracy(self(batch[0]), batch[1]))
        return F.cross_entropy(self(batch[0]), batch[1])


class NeverReset(Classifier):
    """A metric of validation alone, over all of them: computed, and never reset."""

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = MulticlassAccuracy(3)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.accuracy.update(self(batch[0]), batch[1])

    def on_validation_epoch_end(self) -> None:
        self.log("val_acc", self.accuracy.compute())


def collection() -> Any:
    return torchmetrics.MetricCollection({"acc": MulticlassAccuracy(3), "f1": MulticlassF1Score(3)})


@pytest.mark.parametrize(
    ("build", "places"),
    [
        (lambda: Measured("values"), []),
        (lambda: Measured("reset"), []),
        (TwoMetrics, []),
        (NeverReset, []),
        (lambda: Measured("logged"), [("NNG224", "accuracy")]),
        (lambda: Measured("updated"), [("NNG224", "accuracy")]),
        (lambda: Measured("logged", collection()), [("NNG224", "accuracy.acc")]),
    ],
    ids=["values of batches", "reset before", "one a stage", "never reset", "logged", "only updated", "collection"],
)
def test_metrics_that_mix_stages(build: Any, places: list[tuple[str, str]]) -> None:
    assert said(build()) == places


def test_a_metric_of_real_and_made_samples_may_mix(seen: list[Seen]) -> None:
    class Distance(torchmetrics.MeanMetric):
        def update(self, value: Tensor, real: bool) -> None:
            super().update(value)

    class Makes(Classifier):
        def __init__(self) -> None:
            super().__init__()
            self.distance = Distance()

        def shared_step(self, batch: Any, stage: str) -> Tensor:
            self.distance.update(batch[0].mean(), real=stage == "train")
            return super().shared_step(batch, stage)

    assert said(Makes()) == []
    assert any(each.num_carried and each.in_training and each.is_read for each in seen if isinstance(each, MetricSeen))


# -- monitors --------------------------------------------------------------------------------------------------------------------


def test_monitors_of_callbacks_and_schedulers(seen: list[Seen], tmp_path: Any) -> None:
    class Plateau(Classifier):
        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max")
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "val_acc"}}

    callbacks = [
        EarlyStopping("val_loss", mode="min"),
        ModelCheckpoint(tmp_path, monitor="val_acc", mode="max"),
        ModelCheckpoint(tmp_path / "all", monitor="val_loss", mode="max", save_top_k=-1),
        ModelCheckpoint(tmp_path / "last"),
    ]
    assert said(Plateau(), *callbacks, max_epochs=1, enable_checkpointing=True) == []
    watched = sorted((each.kind, each.where, each.mode) for each in seen if isinstance(each, MonitorSeen))
    assert watched == [
        ("EarlyStopping", "val_loss", "min"), ("ModelCheckpoint", "val_acc", "max"), ("ReduceLROnPlateau", "val_acc", "max"),
    ]  # fmt: skip
