"""Modules, tensors and calls of every kind: training is bit-identical, no part of the guard fails, and nothing is warned of."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from lightning_nnguard import NNGuard
from lightning_nnguard.callbacks.run import GuardRun
from lightning_nnguard.finding import Severity
from tests.programs import Classifier, fit, hooks_in, loader, random_state, seed

WIDTH = 6


class Called(nn.Module):
    """Calls a function of its children and its input."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Linear(nn.Linear):
    def __init__(self) -> None:
        super().__init__(WIDTH, WIDTH)


def block() -> nn.Module:
    return nn.Sequential(Linear(), nn.Tanh(), Linear())


def recomputed(*, use_reentrant: bool) -> nn.Module:
    # The first layer stands before it: a reentrant checkpoint needs an input with a gradient.
    def run(self: Any, x: Tensor) -> Tensor:
        return checkpoint(self.inner, torch.tanh(self.first(x)), use_reentrant=use_reentrant)  # type: ignore[no-any-return]

    return Called(run, first=Linear(), inner=nn.Sequential(block(), nn.Dropout(0.1)))


def many_times(self: Any, x: Tensor) -> Tensor:
    for _ in range(6):
        x = torch.tanh(self.inner(x))
    return x


class Tied(nn.Module):
    """An encoder whose decoder has the same weight, turned."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.decoder.weight = self.encoder.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(torch.tanh(self.encoder(x)))  # type: ignore[no-any-return]


class Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).T


def parametrised() -> nn.Module:
    layer = Linear()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(
        layer, nn.Tanh(), parametrizations.weight_norm(Linear()), nn.Tanh(), parametrizations.spectral_norm(Linear())
    )


class ModelOutput(dict):  # type: ignore[type-arg]
    """A mapping with attributes, as those of transformers."""

    __getattr__ = dict.__getitem__


@dataclass
class Output:
    text: str
    states: tuple[Tensor, ...]


class Pair(NamedTuple):
    ids: Tensor
    value: Tensor


WRAPPINGS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "nested dict": (lambda x: {"a": {"b": [x, None]}, 3: "text"}, lambda out: out["a"]["b"][0]),
    "dataclass": (lambda x: Output("a", (x, x)), lambda out: out.states[0]),
    "named tuple": (lambda x: Pair(torch.arange(3), x), lambda out: out.value),
    "ModelOutput": (lambda x: ModelOutput(logits=x, hidden_states=(x, None)), lambda out: out.logits),
}


class Wrapping(nn.Module):
    """Returns its output inside of something."""

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.weight, self.wrap = nn.Parameter(torch.eye(WIDTH)), wrap

    def forward(self, *, values: Tensor) -> Any:
        return self.wrap(values @ self.weight)


def returned(kind: str) -> nn.Module:
    wrap, unwrap = WRAPPINGS[kind]
    return Called(lambda self, x: unwrap(self.inner(values=x)), inner=Wrapping(wrap))


class Packed(nn.Module):
    """Modules that take and return packed sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.pack, self.rnn = Called(self._pack), nn.GRU(1, WIDTH, batch_first=True)

    @staticmethod
    def _pack(self: Any, x: Tensor) -> PackedSequence:
        lengths = torch.arange(len(x)) % 3 + 3
        return pack_padded_sequence(x[..., None], lengths, batch_first=True, enforce_sorted=False)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(self.pack(x))
        return pad_packed_sequence(out, batch_first=True)[0].mean(1)  # type: ignore[no-any-return]


def images(self: Any, x: Tensor) -> Tensor:
    x = x.reshape(-1, 1, 2, 3).contiguous(memory_format=torch.channels_last)
    return F.relu(self.norm(self.conv(x))).mean(1).flatten(1)


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.ones(WIDTH // 2 + 1, dtype=torch.complex64))
        self.transform = Called(lambda self, x: torch.fft.rfft(x))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft(self.transform(x) * self.filter, n=WIDTH)


def sparse(self: Any, x: Tensor) -> Tensor:
    adjacency = self.graph(x)  # a module whose output is sparse
    return x + torch.sparse.mm(adjacency, self.inner(x)) + self.embedding(torch.arange(len(x)) % 4)


def odd(self: Any, x: Tensor) -> Tensor:
    """Modules with outputs of integers, without elements, and without dimensions."""
    return x * self.scale(x) + self.empty(x).sum() + self.table(self.buckets(x))


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.ones(()))
        self.unused = nn.Parameter(torch.empty(0, 3), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.value * 1


class Teacher(nn.Module):
    """Modules whose outputs are quantised, or have a shape alone."""

    def __init__(self) -> None:
        super().__init__()
        self.quantise = Called(lambda self, x: torch.quantize_per_tensor(x.detach(), 0.1, 0, torch.qint8))
        self.shape = Called(lambda self, x: torch.empty(x.shape, device="meta") @ torch.empty(WIDTH, 4, device="meta"))
        self.inner = Linear()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            known = self.quantise(x).dequantize()
            assert self.shape(x).shape[1] == 4
        return self.inner(x) + known  # type: ignore[no-any-return]


class Sequence(nn.Module):
    """Gives a layer of sequences one step for each feature."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.embed, self.layer, self.head = nn.Linear(1, 8), layer, nn.Linear(8, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.embed(x[..., None])
        out = self.layer(steps, steps, steps) if isinstance(self.layer, nn.MultiheadAttention) else self.layer(steps)
        return self.head((out[0] if isinstance(out, tuple) else out).mean(1))  # type: ignore[no-any-return]


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.1), 2)


def with_teacher(self: Any, x: Tensor) -> Tensor:
    padding = (torch.arange(WIDTH) == WIDTH - 1).expand(len(x), -1)
    with torch.no_grad():  # its padded positions are 0 on the fast path alone
        known = self.teacher.eval()(self.embed(x[..., None]), src_key_padding_mask=padding)[..., 0]
    return self.own(x) + known  # type: ignore[no-any-return]


KINDS: dict[str, Callable[[], nn.Module]] = {
    "checkpointing": lambda: recomputed(use_reentrant=False),
    "checkpointing, reentrant": lambda: recomputed(use_reentrant=True),
    "ReLU in place": lambda: nn.Sequential(nn.Linear(WIDTH, 24), nn.ReLU(inplace=True), nn.Linear(24, WIDTH)),
    "relu_": lambda: Called(lambda self, x: self.b(F.relu_(self.a(x))), a=nn.Linear(WIDTH, 24), b=nn.Linear(24, WIDTH)),
    "shared module": lambda: (lambda inner: nn.Sequential(inner, nn.Tanh(), inner))(Linear()),
    "tied weights": Tied,
    "called many times": lambda: Called(many_times, inner=Linear()),
    "lazy": lambda: nn.Sequential(nn.LazyLinear(WIDTH), nn.LazyBatchNorm1d()),
    "parametrisations": parametrised,
    **{kind: (lambda kind=kind: returned(kind)) for kind in WRAPPINGS},  # type: ignore[misc]
    "PackedSequence": Packed,
    "channels_last": lambda: Called(images, conv=nn.Conv2d(1, 8, 3, padding=1, bias=False), norm=nn.BatchNorm2d(8)),
    "sparse": lambda: Called(
        sparse, graph=Called(lambda self, x: torch.eye(len(x)).to_sparse()), inner=Linear(),
        embedding=nn.Embedding(4, WIDTH, sparse=True),
    ),
    "complex": Complex,
    "integer, empty and without dimensions": lambda: Called(
        odd, scale=Scale(), empty=Called(lambda self, x: x[:0]), buckets=Called(lambda self, x: (x[:, 0] > 0).long()),
        table=nn.Embedding(2, WIDTH),
    ),
    "quantised and meta": Teacher,
    "MultiheadAttention": lambda: Sequence(nn.MultiheadAttention(8, 2, batch_first=True, dropout=0.1)),
    "TransformerEncoder": lambda: Sequence(encoder()),
    "TransformerEncoder on its fast path": lambda: Called(
        with_teacher, own=Linear(), embed=nn.Linear(1, 8).requires_grad_(False), teacher=encoder().requires_grad_(False)
    ),
    "LSTM": lambda: Sequence(nn.LSTM(8, 8, num_layers=2, dropout=0.1, batch_first=True)),
    "GRU": lambda: Sequence(nn.GRU(8, 8, batch_first=True)),
}  # fmt: skip


class Program(Classifier):
    """The block of a kind, and a head."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.net = nn.Sequential(KINDS[kind](), nn.Tanh(), nn.Linear(WIDTH, 3))  # type: ignore[assignment]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01, momentum=0.5)


def bits(value: Any) -> Any:
    """Return a nested structure with the bytes of each tensor in its place."""
    if isinstance(value, Tensor):
        value = value.detach()
        dense = (value.to_dense() if value.is_sparse else value).contiguous()
        return str(value.dtype), (torch.view_as_real(dense) if dense.is_complex() else dense).reshape(-1).view(torch.uint8).tolist()
    if isinstance(value, dict):
        return {key: bits(each) for key, each in value.items()}
    return [bits(each) for each in value] if isinstance(value, list | tuple) else value


def after(kind: str, *guards: NNGuard) -> dict[str, Any]:
    seed(1)
    module = Program(kind)
    made = fit(module, *guards, train=loader(shuffle=True), validation=loader(24))
    return {
        "state": bits(dict(module.state_dict())),
        "gradients": {name: bits(each.grad) for name, each in module.named_parameters()},
        "optimizer": bits([optimizer.state_dict() for optimizer in made.optimizers]),
        "random": random_state(),
        "metrics": {name: float(value) for name, value in made.callback_metrics.items()},
        "modes": [each.training for each in module.modules()],
        "hooks": hooks_in(module, made.optimizers),
    }


@pytest.mark.pitfall(17)
@pytest.mark.pitfall(26)
@pytest.mark.parametrize("kind", KINDS)
def test_training_is_bit_identical_and_no_part_fails(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(GuardRun, "note", lambda run, text: notes.append(text))
    guard = NNGuard(every_n_steps=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The PyTorch API of nested tensors is in prototype stage|Sparse|.*[Ll]azy|.*zero-element")
        warnings.filterwarnings("ignore", ".*UninitializedParameter|.*number of parameters detected|.*quantize|.*sparse")
        warnings.filterwarnings("ignore", "None of the inputs have requires_grad=True")  # a reentrant checkpoint in validation
        guarded, bare = after(kind, guard), after(kind)
    for part, value in bare.items():
        assert guarded[part] == value, part
    assert guard._error == ""
    assert notes == []
    logged = [each for each in caplog.records if each.name == "lightning_nnguard" and each.levelno > logging.INFO]
    assert [each.getMessage() for each in logged] == []
    assert [finding.code for finding in guard.findings if finding.severity > Severity.INFO] == []
