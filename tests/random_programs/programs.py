"""Random programs: a description that hypothesis draws and can shrink, and the training that it stands for."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tests.random_programs.blocks import BRANCHES, LEAVES, WIDTH, Frozen, Tree, build

NUM_CLASSES = 3
NUM_SAMPLES = 12


@dataclass
class Record:
    x: Tensor
    y: Tensor
    note: str = "note"
    rest: list[Any] = field(default_factory=list)


class Plain:
    """A batch of a class of the user's own."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y
        self.itself = self


Named = namedtuple("Named", ["x", "y", "extra"])
EXTRAS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "text": lambda: ["a", "b", {"c": "d"}],
    "number": lambda: 3.5,
    "complex": lambda: torch.ones(2, dtype=torch.complex64),
    "bool": lambda: torch.tensor([True, False]),
    "empty": lambda: torch.empty(0, 3),
    "scalar": lambda: torch.tensor(2.0),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "int8": lambda: torch.ones(3, dtype=torch.int8),
    "nan": lambda: torch.full((2,), torch.nan),
    "half": lambda: torch.ones(2, dtype=torch.float16),
    "meta": lambda: torch.empty(2, device="meta"),
    "nested": lambda: [[[[[[[torch.ones(1)]]]]]]],
    "function": lambda: len,
}
FORMS: dict[str, Callable[[Tensor, Tensor, Any], Any]] = {
    "tuple": lambda x, y, extra: (x, y, extra),
    "list": lambda x, y, extra: [x, y, extra],
    "dict": lambda x, y, extra: {"x": x, "y": y, "extra": extra},
    "ordered dict": lambda x, y, extra: OrderedDict(extra=extra, y=y, x=x),
    "numbered dict": lambda x, y, extra: {0: extra, 1: {"x": x, ("y", 2): y}},
    "named tuple": Named,
    "dataclass": lambda x, y, extra: Record(x, y, rest=[extra]),
    "object": lambda x, y, extra: Plain(x, y),
}


def parts_of(batch: Any) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of a batch of any form."""
    if isinstance(batch, dict):
        return (batch[1]["x"], batch[1]["y", 2]) if 1 in batch else (batch["x"], batch["y"])
    return (batch[0], batch[1]) if isinstance(batch, tuple | list) else (batch.x, batch.y)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": F.cross_entropy,
    "likelihood": lambda out, y: F.nll_loss(out.log_softmax(1), y),
    "squares": lambda out, y: F.mse_loss(out, F.one_hot(y, NUM_CLASSES).to(out.dtype)),
    "bits": lambda out, y: F.binary_cross_entropy_with_logits(out, F.one_hot(y, NUM_CLASSES).to(out.dtype)),
    "by hand": lambda out, y: (out.logsumexp(1) - out.gather(1, y[:, None])[:, 0]).mean() + 1e-3 * out.square().sum(),
    "nan": lambda out, y: F.cross_entropy(out, y) * torch.nan,
}
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, 0.05, momentum=0.9),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, 1e-2),
    "fused": lambda parameters: torch.optim.AdamW(parameters, 1e-2, fused=True),
    "LBFGS": lambda parameters: torch.optim.LBFGS(parameters, max_iter=2),
    "Adadelta": lambda parameters: torch.optim.Adadelta(parameters),
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a program is made of; see `PLANS`.

    Attributes:
        trees: The blocks of the network, one after the other.
        form: What a batch looks like.
        extra: What else is in it.
        loss: The loss.
        optimizer: The optimizer.
        precision: Lightning's name of it.
        is_manual: Whether the step of the optimizer is written out.
        accumulation: Batches for each step.
        batch_size: Samples of a batch; the last one may be short.
        skips: Whether some training steps return nothing.
        validates: Whether there is validation.
        hooks: Hooks of the user's on the network.
        is_guard_first: Whether the guard comes before the user's callback.
        every_n_steps: The guard's cadence.
    """

    trees: list[Tree]
    form: str
    extra: str
    loss: str
    optimizer: str
    precision: str
    is_manual: bool
    accumulation: int
    batch_size: int
    skips: bool
    validates: bool
    hooks: tuple[str, ...]
    is_guard_first: bool
    every_n_steps: int


TREES = st.recursive(
    st.sampled_from(sorted(LEAVES)),
    lambda inner: st.tuples(st.sampled_from(sorted(BRANCHES)), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=5,
)
HOOKS = ("forward", "replaces output", "pre forward", "full backward", "gradient")
PLANS = st.builds(
    Plan,
    trees=st.lists(TREES, min_size=1, max_size=3),
    form=st.sampled_from(sorted(FORMS)),
    extra=st.sampled_from(sorted(EXTRAS)),
    loss=st.sampled_from(sorted(LOSSES)),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    precision=st.sampled_from(["32-true", "32-true", "bf16-mixed", "64-true", "bf16-true"]),
    is_manual=st.booleans(),
    accumulation=st.integers(1, 2),
    batch_size=st.sampled_from([3, 5, 12]),
    skips=st.booleans(),
    validates=st.booleans(),
    hooks=st.lists(st.sampled_from(HOOKS), unique=True, max_size=2).map(tuple),
    is_guard_first=st.booleans(),
    every_n_steps=st.integers(1, 3),
)


class _Samples(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(NUM_SAMPLES, WIDTH, generator=generator).to(dtype)
        self.y = torch.arange(NUM_SAMPLES) % NUM_CLASSES

    def __len__(self) -> int:
        return NUM_SAMPLES

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.y[i]


class Program(pl.LightningModule):
    """The LightningModule of a plan."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.automatic_optimization = not plan.is_manual
        self.net = nn.Sequential(*map(build, plan.trees))
        with torch.no_grad():
            self.net(torch.ones(2, WIDTH))  # lazy layers get their parameters
        for each in self.net.modules():
            if isinstance(each, Frozen):
                each.requires_grad_(False)
        self.head = nn.Linear(WIDTH, NUM_CLASSES)
        self.told: list[float] = []

    def setup(self, stage: str) -> None:
        for kind in self.plan.hooks:
            _hook(self.net, kind)

    def _loss(self, batch: Any) -> Tensor:
        x, y = parts_of(batch)
        return LOSSES[self.plan.loss](self.head(self.net(x)), y)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.plan.skips and batch_idx == 1 and self.plan.optimizer != "LBFGS":
            return None
        loss = self._loss(batch)
        self.told.append(loss.item())
        self.log("loss", loss, on_epoch=True, batch_size=1)
        if not self.plan.is_manual:
            return {"loss": loss, "extra": [loss.detach()]} if self.plan.skips else loss
        optimizer = self.optimizers()
        if self.plan.optimizer == "LBFGS":
            optimizer.step(lambda: self._closure(batch))  # type: ignore[union-attr]
        else:
            optimizer.zero_grad()  # type: ignore[union-attr]
            self.manual_backward(loss)
            optimizer.step()  # type: ignore[union-attr]
        return None

    def _closure(self, batch: Any) -> Tensor:
        self.zero_grad()
        loss = self._loss(batch)
        self.manual_backward(loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self._loss(batch), batch_size=1)

    def configure_optimizers(self) -> Any:
        return OPTIMIZERS[self.plan.optimizer]([each for each in self.parameters() if each.requires_grad])


def _hook(net: nn.Module, kind: str) -> None:
    if kind == "forward":
        net.register_forward_hook(lambda module, args, out: None)
    elif kind == "replaces output":
        net.register_forward_hook(lambda module, args, out: out * 1.5)
    elif kind == "pre forward":
        net.register_forward_pre_hook(lambda module, args: (args[0] + 0.5,))
    elif kind == "full backward":
        net.register_full_backward_hook(lambda module, inner, outer: None)
    else:
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda grad: grad * 0.5)


def loader_of(plan: Plan) -> DataLoader[Any]:
    """Return the data of a plan in its form."""
    dtype = {"64-true": torch.float64, "bf16-true": torch.bfloat16}.get(plan.precision, torch.float32)

    def collate(samples: list[tuple[Tensor, Tensor]]) -> Any:
        x, y = (torch.stack(part) for part in zip(*samples, strict=True))
        return FORMS[plan.form](x, y, EXTRAS[plan.extra]())

    return DataLoader(_Samples(dtype), plan.batch_size, shuffle=True, collate_fn=collate)
