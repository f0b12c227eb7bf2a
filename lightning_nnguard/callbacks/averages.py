"""Moving averages of the weights: whether they have moved when training ends."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lightning_nnguard.observation import AverageSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.parameters import learning_rates
from lightning_nnguard.stats.norms import local

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

#: Parameters of an average whose source is looked for, those that are compared, and elements of each.
_MAX_LOOKED_AT, _MAX_PARAMETERS, _SAMPLE = 16, 4, 256
#: Words of a module's name that say that it is a moving average. Teachers and targets may be meant to stay.
_WORDS = frozenset({"ema", "swa", "averaged"})


class _Average:
    """Samples of one average, and of what it averages, at the start of training."""

    def __init__(self, name: str, module: nn.Module, sources: Mapping[str, Tensor], *, replaces: bool) -> None:
        self.name, self.module, self.replaces = name, module, replaces
        own = [(path, each) for path, each in module.named_parameters() if each.numel() and each.is_floating_point()]
        some = own[:: max(len(own) // _MAX_LOOKED_AT, 1)][:_MAX_LOOKED_AT]
        pairs = [(each, _source(path, each, sources)) for path, each in some]
        chosen = [(each, source) for each, source in pairs if source is not None][:_MAX_PARAMETERS]
        self.own = [(each, _sample(each).clone()) for each, _ in chosen]
        self.sources = [(each, _sample(each).clone()) for _, each in chosen]

    def seen(self, num_steps: int, at: At) -> AverageSeen:
        """Return what has become of it."""
        counted = getattr(self.module, "n_averaged", None)
        return AverageSeen(
            where=self.name, step=at.step, epoch=at.epoch, kind=type(self.module).__name__, num_steps=num_steps,
            num_updates=int(counted) if isinstance(counted, int | Tensor) else None, num_compared=len(self.own),
            num_moved=_num_moved(self.own), num_sources_moved=_num_moved(self.sources), replaces=self.replaces,
        )  # fmt: skip


class AverageWatch:
    """The moving averages that a module or a callback keeps.

    Args:
        trainer: The Trainer.
        module: The user's module.
        step: Optimizer steps when training begins.
    """

    def __init__(self, trainer: Trainer, module: LightningModule, step: int) -> None:
        self._begin_step = step
        held = learning_rates(trainer.optimizers)
        found = [*_of_callbacks(trainer), *_of_module(module, held)]
        averaged = {id(each) for _, average, _ in found for each in average.parameters()}
        sources = {name: each for name, each in module.named_parameters() if id(each) in held and id(each) not in averaged}
        sources = {name: each for name, each in sources.items() if each.requires_grad}
        self._averages = [_Average(name, average, sources, replaces=replaces) for name, average, replaces in found]

    def end(self, trainer: Trainer, at: At) -> Sequence[AverageSeen]:
        """Return what has become of them; one that was to begin later is left alone where the run was stopped before its end."""
        num_steps = at.step - self._begin_step
        return [
            each.seen(num_steps, at) for each in self._averages if each.own and (each.replaces or not trainer.should_stop)
        ]  # fmt: skip


def _of_callbacks(trainer: Trainer) -> Iterator[tuple[str, nn.Module, bool]]:
    """Iterate over averages that callbacks keep; Lightning's `WeightAveraging` puts its own in place at the end."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        replaces = any(each.__name__ == "WeightAveraging" for each in type(callback).__mro__)
        for value in vars(callback).values():
            if isinstance(value, AveragedModel):
                yield type(callback).__name__, value, replaces


def _of_module(module: nn.Module, held: Collection[int]) -> Iterator[tuple[str, nn.Module, bool]]:
    inside: list[str] = []
    for name, each in module.named_modules():
        if any(name.startswith(outer) for outer in inside):
            continue
        words = set(re.split(r"[^a-z0-9]+", name.rpartition(".")[2].lower()))
        is_frozen = not any(parameter.requires_grad or id(parameter) in held for parameter in each.parameters())
        if name and (isinstance(each, AveragedModel) or (words & _WORDS and is_frozen)):
            inside.append(f"{name}.")
            yield name, each, False


def _source(path: str, average: Tensor, sources: Mapping[str, Tensor]) -> Tensor | None:
    """Return the trained parameter that has the same name and shape, apart from what either path begins with."""
    while path:
        for name, each in sources.items():
            if (name == path or name.endswith(f".{path}")) and each.shape == average.shape:
                return each
        path = path.partition(".")[2]
    return None


@torch.no_grad()
def _sample(tensor: Tensor) -> Tensor:
    return local(tensor.detach()).reshape(-1)[:_SAMPLE]


def _num_moved(samples: Sequence[tuple[Tensor, Tensor]]) -> int:
    return sum(not torch.equal(_sample(each).to(before.device), before) for each, before in samples)
