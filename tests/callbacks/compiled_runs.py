"""Fits of compiled models, for a process of their own (a process compiles for good); prints what they show as one line of JSON."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo.eval_frame as eval_frame
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.utils import counters

from lightning_nnguard import DeadReLU, NNGuard, TrainEvalMode
from lightning_nnguard.callbacks.run import GuardRun
from lightning_nnguard.probe.probe import Probe
from lightning_nnguard.probe.training import TrainingWatch
from tests.programs import Classifier, fit, loader, random_state, seed, trainer

BACKEND = "aot_eager"
#: There are 80 samples.
FEW = {"dead-units": {"min_num_samples": 50.0}}


class Compiled(Classifier):
    """Softmax before cross-entropy, within a compiled network; dropout in training.

    Args:
        noisy: Whether validation draws random numbers.
        breaks: Whether a validation batch raises.
    """

    def __init__(self, *, noisy: bool = False, breaks: bool = False) -> None:
        super().__init__()
        self.net = torch.compile(nn.Sequential(self.net, nn.Softmax(1)), backend=BACKEND)  # type: ignore[assignment]
        self.noisy, self.breaks = noisy, breaks

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        super().validation_step((x + 0.1 * torch.randn_like(x) if self.noisy else x, y), batch_idx)
        if self.breaks:
            raise ZeroDivisionError("theirs")


class Plain(Classifier):
    """The same without a compiler, and without logging, which is compiled badly."""

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        return F.cross_entropy(self(batch[0]).softmax(1), batch[1])


def in_place() -> Plain:
    module = Plain()
    module.net.compile(backend=BACKEND)
    return module


def whole() -> Any:
    return torch.compile(Plain(), backend=BACKEND)


def dead() -> Plain:
    """Rectifiers that never fire, within compiled code."""
    module = in_place()
    nn.init.constant_(module.net.second.bias, -100.0)
    return module


class SetsItsOwn(Plain):
    """Sets a stance of its own in a sampled step."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        torch.compiler.set_stance("eager_on_recompile")
        return super().training_step(batch, batch_idx)


def own_stance() -> SetsItsOwn:
    module = SetsItsOwn()
    module.net.compile(backend=BACKEND)
    return module


class Log:
    """Writes down at which steps evaluation and training ran without the compiler, and what the guard notes."""

    steps: list[int] = []  # noqa: RUF012
    eager: list[int] = []  # noqa: RUF012
    notes: list[str] = []  # noqa: RUF012

    def start(self) -> None:
        start_batch, note, before_backward = Probe.start_evaluation_batch, GuardRun.note, TrainingWatch.before_backward

        def starts(probe: Probe, *args: Any, **kwargs: Any) -> None:
            start_batch(probe, *args, **kwargs)
            if args[2].batch_index == 0 and eval_frame._stance.stance == "force_eager":
                self.steps.append(args[2].step)

        def trains(watch: TrainingWatch, loss: Tensor) -> None:
            before_backward(watch, loss)
            if eval_frame._stance.stance == "force_eager":
                self.eager.append(watch.at.step)

        def notes(run: GuardRun, text: str) -> None:
            self.notes.append(text)
            note(run, text)

        Probe.start_evaluation_batch, GuardRun.note = starts, notes  # type: ignore[method-assign]
        TrainingWatch.before_backward = trains  # type: ignore[method-assign]


def shown(
    build: Callable[[], Any], *, guarded: bool = True, validates: bool = False, drop_in: Any = None, **options: Any
) -> dict[str, Any]:
    torch._dynamo.reset()
    counters.clear()
    Log.steps.clear()
    Log.eager.clear()
    Log.notes.clear()
    seed(1)
    module, error = build(), ""
    guard = drop_in or NNGuard(select=["NNG208", "NNG601", "NNG605", "NNG606", "NNG607"], every_n_steps=1)
    try:
        if validates:
            trainer(guard).validate(module, loader(24))
        else:
            fit(module, *([guard] if guarded else []), train=loader(80, shuffle=True), validation=loader(24), **options)
    except ZeroDivisionError as caught:
        error = str(caught)
    stance = eval_frame._stance.stance
    torch.compiler.set_stance("default")
    return {
        "findings": [[each.code, each.step, each.message] for each in guard.findings],
        "state": {name: value.tolist() for name, value in module.state_dict().items()},
        "random": repr(random_state()),
        "graphs": counters["stats"]["unique_graphs"],
        "steps": list(Log.steps),
        "eager": list(Log.eager),
        "notes": sorted(set(Log.notes)),
        "error": error,
        "stance": stance,
        "num_modes": len(torch.overrides._get_current_function_mode_stack()),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    Log().start()
    many = {"max_epochs": 12}  # 120 steps: the second audit of validation is due after 100
    with contextlib.redirect_stdout(sys.stderr):
        everything = {
            "bare": shown(Compiled, guarded=False, **many),
            "part": shown(Compiled, **many),
            "whole, bare": shown(whole, guarded=False),
            "whole": shown(whole),
            "in place": shown(in_place),
            "noisy": shown(lambda: Compiled(noisy=True), **many),
            "not rehearsed": shown(Compiled, num_sanity_val_steps=0),
            "broken": shown(lambda: Compiled(breaks=True)),
            "validated": shown(Compiled, validates=True),
            "eager": shown(in_place, drop_in=NNGuard(compiled="eager", every_n_steps=2)),
            "eager, whole": shown(whole, drop_in=NNGuard(compiled="eager", every_n_steps=2)),
            "dead": shown(dead, drop_in=DeadReLU(compiled="eager", every_n_steps=3, thresholds=FEW), **many),
            "dead, left": shown(dead, drop_in=DeadReLU(every_n_steps=3, thresholds=FEW), **many),
            "own stance": shown(own_stance, drop_in=NNGuard(compiled="eager", every_n_steps=2)),
            "modes alone": shown(Compiled, drop_in=TrainEvalMode()),
        }
    print(json.dumps(everything))
