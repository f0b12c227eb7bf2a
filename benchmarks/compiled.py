"""`python -m benchmarks.compiled`: the price of `compiled="eager"`, a step as it was written in place of a compiled one."""

from __future__ import annotations

import argparse
import copy
import logging
import tempfile
import time
import warnings

import torch
from lightning.pytorch import Trainer, seed_everything
from rich.console import Console
from torch import Tensor, nn

from benchmarks.models import WORKS, Batches, Training
from benchmarks.spread import Spread
from lightning_nnguard import NNGuard

#: Steps in which weights drift apart; one of ten is sampled at the start of a run.
NUM_STEPS = 30
_NUM_PAIRS = 10


def main() -> None:
    """Print time, memory and numbers of compiled and of eager steps as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compiled", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=WORKS, default=["small", "transformer"], help="trainings to measure")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning_nnguard"):
        logging.getLogger(name).setLevel(logging.ERROR)
    console = Console(stderr=True)
    rows = [
        "| training | eager step, in compiled steps | kept for the backward pass, eager / compiled | weights differ by |",
        "| --- | ---: | ---: | ---: |",
    ]
    for key in options.models:
        with console.status(f"{WORKS[key].title}: time"):
            ratio = _times(key)
        with console.status(f"{WORKS[key].title}: memory"):
            eager, compiled = (_saved(key, kind) for kind in ("eager", "compiled"))
        with console.status(f"{WORKS[key].title}: {NUM_STEPS} steps with and without the compiler in sampled ones"):
            drift = _drift(key)
        rows.append(f"| {WORKS[key].title} | {ratio.units()} | {eager:.1f} / {compiled:.1f} MiB | {drift:.1e} |")
    print("\n".join(rows))


def _made(key: str) -> tuple[Training, Batches]:
    seed_everything(0, verbose=False)
    return WORKS[key].make()


def _step(net: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    net.zero_grad()
    nn.functional.cross_entropy(net(inputs).flatten(0, -2), targets.flatten()).backward()


def _times(key: str) -> Spread:
    """Return the time of an eager forward and backward pass in compiled ones, by turns."""
    module, batches = _made(key)
    nets, (inputs, targets) = {"eager": module.net, "compiled": torch.compile(copy.deepcopy(module.net))}, next(iter(batches))
    for net in nets.values():
        _step(net, inputs, targets)
        _step(net, inputs, targets)
    ratios = []
    for _ in range(_NUM_PAIRS):
        seconds = {}
        for kind, net in nets.items():
            start = time.perf_counter()
            _step(net, inputs, targets)
            seconds[kind] = time.perf_counter() - start
        ratios.append(seconds["eager"] / seconds["compiled"])
    return Spread.of(ratios)


def _saved(key: str, kind: str) -> float:
    """Return the bytes of the different tensors that a forward pass keeps for its backward pass, in MiB."""
    module, batches = _made(key)
    inputs, targets = next(iter(batches))
    net = torch.compile(module.net) if kind == "compiled" else module.net
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = nn.functional.cross_entropy(net(inputs).flatten(0, -2), targets.flatten())
    own = {each.untyped_storage().data_ptr() for each in module.parameters()}
    loss.backward()  # type: ignore[no-untyped-call]
    return sum(size for pointer, size in kept.items() if pointer not in own) / 2**20


def _drift(key: str) -> float:
    """Return how far the weights of a run with eager sampled steps are from those of one without, relative to their norm."""
    weights = []
    for compiled in ("leave", "eager"):
        torch._dynamo.reset()
        module, batches = _made(key)
        module.net.compile()
        guard = NNGuard(compiled=compiled)
        with tempfile.TemporaryDirectory() as folder:
            Trainer(
                max_steps=NUM_STEPS, callbacks=[guard], logger=False, enable_checkpointing=False, enable_progress_bar=False,
                enable_model_summary=False, default_root_dir=folder, accelerator="cpu",
            ).fit(module, batches)  # fmt: skip
        weights.append(torch.cat([each.detach().flatten() for each in module.parameters()]))
    leave, eager = weights
    return float((leave - eager).norm() / leave.norm())


if __name__ == "__main__":
    main()
