"""Fits of compiled networks, for a process of their own (a process compiles for good); prints one line of JSON."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from lightning_nnguard import NNGuard
from lightning_nnguard.callbacks.run import GuardRun
from lightning_nnguard.monitor import Monitor
from lightning_nnguard.observation import ActivationSeen, GradientSeen, NonFiniteSeen, Seen, UpdateSeen
from tests.programs import Classifier, fit, hooks_in, loader, seed

BACKEND = "eager"


class Body(nn.Sequential):
    """A class of its own: what torch's own containers compile in place, nobody runs."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        for each in self:
            x = each(x)
        return x


class Compiled(Classifier):
    """A compiled body with batch norm and rectifiers, and a head that is not compiled."""

    def __init__(self, compile_body: Callable[[nn.Module], Any]) -> None:
        super().__init__()
        self.net = compile_body(Body())
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.net(x))
        return logits


def called_before(body: nn.Module) -> Any:
    compiled = torch.compile(body, backend=BACKEND)
    compiled(torch.randn(8, 6)).sum().backward()
    body.zero_grad()
    return compiled


def full_graph(body: nn.Module) -> Any:
    return torch.compile(body, backend=BACKEND, fullgraph=True)


def in_place(body: nn.Module) -> Any:
    body.compile(backend=BACKEND)
    return body


def late_hook() -> int:
    """Return how often a hook runs that was registered after the first call of a compiled module."""
    body, calls = nn.Sequential(nn.Linear(6, 6), nn.ReLU()), []
    compiled = torch.compile(body, backend=BACKEND)
    compiled(torch.randn(2, 6))
    body[0].register_forward_hook(lambda *args: calls.append(1))
    for _ in range(3):
        compiled(torch.randn(2, 6))
    return len(calls)


class Log:
    """What the guard saw and noted."""

    seen: list[Seen] = []  # noqa: RUF012
    notes: list[str] = []  # noqa: RUF012


def spy() -> None:
    see, note = Monitor.see, GuardRun.note

    def sees(self: Monitor, observations: Sequence[Seen]) -> Any:
        Log.seen.extend(observations)
        return see(self, observations)

    def notes(self: GuardRun, text: str) -> None:
        Log.notes.append(text)
        note(self, text)

    Monitor.see, GuardRun.note = sees, notes  # type: ignore[method-assign]


def shown(compile_body: Callable[[nn.Module], Any], *, guarded: bool) -> dict[str, Any]:
    torch._dynamo.reset()
    counters.clear()
    Log.seen.clear()
    Log.notes.clear()
    seed(1)
    module, guard = Compiled(compile_body), NNGuard(every_n_steps=1)
    made = fit(module, *([guard] if guarded else []), train=loader(96), validation=loader(24))

    def places(kind: type[Seen]) -> list[str]:
        return sorted({each.where for each in Log.seen if isinstance(each, kind)})

    return {
        "outputs": places(ActivationSeen),
        "gradients": places(GradientSeen),
        "updates": places(UpdateSeen),
        "bad": places(NonFiniteSeen),
        "notes": sorted(set(Log.notes)),
        "findings": [[each.code, each.where] for each in guard.findings],
        "error": guard._error,
        "state": {name: value.tolist() for name, value in module.state_dict().items()},
        "graphs": counters["stats"]["unique_graphs"],
        "breaks": sum(counters["graph_break"].values()),
        "hooks": hooks_in(module, made.optimizers),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    spy()
    with contextlib.redirect_stdout(sys.stderr):
        everything: dict[str, Any] = {"late hook": late_hook()}
        for compile_body in (called_before, full_graph, in_place):
            everything[compile_body.__name__] = shown(compile_body, guarded=True)
            everything[f"{compile_body.__name__}, bare"] = shown(compile_body, guarded=False)
    print(json.dumps(everything))
