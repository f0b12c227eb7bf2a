"""No host sync: between sampled steps nothing waits for the device, and a sampled step is read with one copy.

There is no accelerator here. Fake tensors have no values, so whatever would wait for one (`.item()`, `bool()`, `nonzero()`,
`.tolist()`) raises: the probe's code for an accelerator runs on them. On the CPU the same reads are counted in real training.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import nullcontext
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_nnguard import observation
from lightning_nnguard.observation import PictureSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.feed import Feed, Labels
from lightning_nnguard.probe.audit.readers import READERS
from lightning_nnguard.probe.late import LateReader
from lightning_nnguard.probe.probe import Probe, ProbeSettings
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.samples import watch as samples
from lightning_nnguard.probe.samples.loading import Loading
from lightning_nnguard.probe.schedule import is_sampled
from lightning_nnguard.stats import digest
from tests.programs import DROP_INS, Classifier, Net, fit, loader, seed

EVERYTHING = [
    kind for kind in vars(observation).values()
    if isinstance(kind, type) and issubclass(kind, Seen) and kind not in {Seen, PictureSeen}
]  # fmt: skip
#: What needs an audit, which waits for the numbers of its few batches.
AUDITED = set(READERS)
FEED = Feed(
    layers={"first": frozenset({"batch[0]"})}, is_complete=True, targets=frozenset({"batch[1]"}),
    labels=Labels(path="batch[1]", num_classes=3, ignore_index=None),
)  # fmt: skip


class NeverThere:
    """An event of a device that is not there."""

    def __init__(self, device: object) -> None: ...

    def record(self) -> None: ...

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        raise RuntimeError("the host waits for the device")


def accelerated(model: Any, optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Probe, list[str]]:
    """Build a probe that takes the model's fake tensors for those of an accelerator."""
    notes: list[str] = []
    settings = ProbeSettings(
        wanted=[kind for kind in EVERYTHING if kind not in AUDITED], every_n_steps=3, activation_histograms=4, gradient_histograms=4
    )
    probe = Probe(
        model, settings, ranks=Ranks(), optimizers=lambda: [optimizer], save=lambda kept: "", context=nullcontext,
        scaler_scale=lambda optimizer: torch.ones(()), has_scaler=False, note=notes.append,
    )  # fmt: skip
    assert probe._parts.nonfinite is not None
    probe._parts.nonfinite._immediate = False
    probe._parts.nonfinite._late = LateReader(torch.device("cpu"))
    monkeypatch.setattr(torch, "Event", NeverThere)
    monkeypatch.setattr(torch, "bincount", _added)  # which is for the CPU alone
    monkeypatch.setattr(probe, "read", list)  # on an accelerator that comes with the next batch
    monkeypatch.setattr(samples.SampleWatch, "_read", lambda self, **arguments: None)  # and so does this
    monkeypatch.setattr(samples, "_is_here", lambda digests: False)
    monkeypatch.setattr(digest, "_weights", digest._weights.__wrapped__)  # whose cache outlives the test
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, pin_memory=False, **kwargs: empty(*args, **kwargs))
    probe.know(None, None, loading=Loading())
    audit = probe._parts.audit
    assert audit is not None
    monkeypatch.setattr(audit, "start_training", lambda *args, **kwargs: None)  # which reads numbers, once or twice in a run
    audit.feeds["train"] = FEED
    return probe, notes


def _added(bins: Tensor, minlength: int) -> Tensor:
    return torch.zeros(minlength).scatter_add_(0, bins, torch.ones(1).expand(len(bins)))


def steps(probe: Probe, model: Any, optimizer: Any, num: int) -> list[bool]:
    sampled = []
    for step in range(num):
        x, y = torch.randn(8, 6), torch.zeros(8, dtype=torch.long)
        probe.training.start_batch([x, y], At(step=step, epoch=0, batch_index=step), steps=True, manual=False)
        sampled.append(probe.training.is_sampling)
        loss = F.cross_entropy(model(x), y)
        probe.training.before_backward(loss)
        optimizer.zero_grad()
        loss.backward()
        probe.training.after_backward(manual=False)
        probe.training.before_optimizer_step(optimizer)
        optimizer.step()
        probe.end_batch(loss.detach())
    return sampled


@pytest.mark.pitfall(27)
def test_nothing_waits_for_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeTensorMode():
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        probe, notes = accelerated(model, optimizer, monkeypatch)
        sampled = steps(probe, model, optimizer, 9)
    assert notes == []  # whatever raises turns a part off, with a note
    assert sampled.count(True) >= 3
    assert probe._exchange._sent is not None
    assert probe._parts.samples is not None
    assert probe._parts.samples._sent is not None
    names = {"non-finite", "losses", "activations", "gradients", "updates", "modes", "samples"}
    assert names <= probe._exchange._sent.sizes.keys()


@pytest.mark.parametrize(
    "wait", [lambda x: x.item(), lambda x: bool(x > 0), lambda x: x.reshape(1).nonzero(), lambda x: x.tolist()]
)
def test_that_test_can_fail(wait: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_nnguard.probe.gradients import GradientCollector

    pack = GradientCollector.pack

    def waits(self: GradientCollector) -> Any:
        wait(self._squares.sum())
        return pack(self)

    monkeypatch.setattr(GradientCollector, "pack", waits)
    with FakeTensorMode():
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        probe, notes = accelerated(model, optimizer, monkeypatch)
        steps(probe, model, optimizer, 2)
    assert any("gradients" in note for note in notes)


# -- real training on the CPU ----------------------------------------------------------------------------------------------------


class Scalars(TorchDispatchMode):
    """Counts numbers that are read one by one: `.item()`, `float()`, `bool()`."""

    def __init__(self) -> None:
        super().__init__()
        self.num = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.num += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class Edges(pl.Callback):
    """Stands first or last among the callbacks and notes the count there."""

    def __init__(self, count: Any, table: dict[int, int]) -> None:
        self.count, self.table = count, table

    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        self.step = trainer.fit_loop.epoch_loop._batches_that_stepped
        self.table[self.step] = self.table.get(self.step, 0) - self.count()

    def on_train_batch_end(self, *args: Any) -> None:
        self.table[self.step] += self.count()


class Starts(Edges):
    def on_train_batch_end(self, *args: Any) -> None: ...


class Ends(Edges):
    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        self.step = trainer.fit_loop.epoch_loop._batches_that_stepped


def scalar_reads(*guards: Any) -> dict[int, int]:
    """Return how many numbers each training batch reads."""
    seed()
    table: dict[int, int] = {}
    with Scalars() as scalars:
        fit(
            Classifier(), Starts(lambda: scalars.num, table), *guards, Ends(lambda: scalars.num, table),
            train=loader(96), max_epochs=2, log_every_n_steps=1000,
        )  # fmt: skip
    return table


@pytest.mark.pitfall(27)
@pytest.mark.parametrize("name", DROP_INS)
def test_numbers_read_one_by_one(name: str) -> None:
    kind, arguments = DROP_INS[name]
    guard = kind(**({**arguments, "every_n_steps": 4} if "every_n_steps" in arguments else arguments))
    guarded, bare = scalar_reads(guard), scalar_reads()
    assert len(bare) == 24
    # On the CPU, where nothing waits, the loss and one gradient are looked at before the weights move.
    allowed = 2 if name in {"NNGuard", "NonFinite"} else 0
    # The first batch and one after the first epoch are audited, which reads more; once inputs are told to vary or not.
    audited = {step for step in bare if guarded[step] - bare[step] > 2} if name == "NNGuard" else set()
    assert len(audited) <= 3
    assert all(is_sampled(step, 4) for step in audited)
    extra = {step: guarded[step] - bare[step] for step in bare if step not in audited}
    assert extra == dict.fromkeys(extra, allowed)


class Copies(TorchFunctionMode):
    """Counts by name what moves a tensor to the host, when the package asks for it."""

    names = ("cpu", "numpy", "tolist", "item", "__array__", "__bool__", "__float__", "__int__", "nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in self.names and "lightning_nnguard" in sys._getframe(1).f_code.co_filename and self.counts:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))

    counts = False


@pytest.mark.pitfall(27)
def test_a_sampled_step_is_read_at_once() -> None:
    found: dict[int, Counter[str]] = {}
    with Copies() as copies:

        class Watch(pl.Callback):
            def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
                copies.found.clear()
                Copies.counts = True

            def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
                found[batch_idx] = Counter(copies.found)
                Copies.counts = False

        class First(Watch):
            def on_train_batch_end(self, *args: Any) -> None: ...

        class Last(Watch):
            def on_train_batch_start(self, *args: Any) -> None: ...

        guard = DROP_INS["NNGuard"][0](every_n_steps=4)
        fit(Classifier(), First(), guard, Last(), train=loader(96), max_epochs=1)
    assert found[0]["cpu"] <= 2  # the filters and the batch, drawn once
    for step in range(1, 12):
        # Sums and maxima are views of one copy on an accelerator; `item` is what the test above has counted.
        # Digests are 64-bit integers, and have a copy of their own.
        wanted = Counter(item=2, numpy=3 if is_sampled(step, 4) else 0)
        assert found[step] == +wanted, step


# -- reading late ----------------------------------------------------------------------------------------------------------------


class Device:
    """A device that gets to its work when it is told."""

    def __init__(self) -> None:
        self.done, self.submitted = 0, 0

    def event(self, device: object) -> Any:
        outer = self

        class Event:
            def record(self) -> None:
                outer.submitted += 1
                self.number = outer.submitted

            def query(self) -> bool:
                return self.number <= outer.done

            def synchronize(self) -> None:
                outer.done = max(outer.done, self.number)

        return Event()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made, empty = Device(), torch.empty
    monkeypatch.setattr(torch, "Event", made.event)
    monkeypatch.setattr(torch, "empty", lambda *args, pin_memory=False, **kwargs: empty(*args, **kwargs))
    return made


def test_numbers_arrive_in_order_and_nobody_waits(device: Device) -> None:
    reader = LateReader(torch.device("cpu"))
    at = [At(step=step, epoch=0, batch_index=step) for step in range(4)]
    for step in range(3):
        reader.push(torch.tensor(float(step)), at[step])
    assert reader.ready() == []
    device.done = 2
    assert reader.ready() == [(0.0, at[0]), (1.0, at[1])]
    assert reader.ready() == []
    reader.push(torch.tensor([3.0], dtype=torch.float64), at[3])
    assert reader.rest() == [(2.0, at[2]), (3.0, at[3])]
    assert reader.rest() == []


def test_a_loss_read_late_is_still_found(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_nnguard.probe.nonfinite import BatchKept, NonFiniteWatch
    from lightning_nnguard.probe.parameters import Parameters

    model, saved = Net(), []

    def save(kept: BatchKept) -> str:
        saved.append(kept.at.step)
        return "file"

    watch = NonFiniteWatch(model, Parameters(model, Ranks()), ranks=Ranks(), immediate=False, save=save, context=nullcontext)
    losses: list[Tensor] = [torch.tensor(value) for value in (1.0, torch.nan, torch.nan, torch.nan)]
    for step, loss in enumerate(losses):
        watch.start_batch([torch.ones(2, 6)], At(step=step, epoch=0, batch_index=step), sampled=False)
        watch.check_loss(loss)
        assert watch.take() == []
    device.done = 3
    watch.start_batch([torch.ones(2, 6)], At(step=4, epoch=0, batch_index=4), sampled=False)
    (found,) = watch.take()
    assert (found.quantity, found.step, found.batch_index) == ("loss", 1, 1)
    assert "sync=True" in found.origin
    assert watch.finish() == []


def test_a_loss_of_the_last_steps_is_found_at_the_end(device: Device) -> None:
    from lightning_nnguard.probe.nonfinite import NonFiniteWatch
    from lightning_nnguard.probe.parameters import Parameters

    model = Net()
    parameters = Parameters(model, Ranks())
    watch = NonFiniteWatch(model, parameters, ranks=Ranks(), immediate=False, save=lambda kept: "", context=nullcontext)
    watch.start_batch([torch.ones(2, 6)], At(step=7, epoch=0, batch_index=7), sampled=False)
    watch.check_loss(torch.tensor(torch.inf))
    assert watch.take() == []
    (found,) = watch.finish()
    assert (found.quantity, found.step) == ("loss", 7)
