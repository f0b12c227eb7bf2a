"""Collector of frozen parameters that an optimizer moves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_nnguard.observation import FrozenUpdateSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.rare import RareCollector
from lightning_nnguard.stats.norms import local, square_sums

#: Elements that are copied at most; what is beyond them is not looked at.
MAX_ELEMENTS = 2**24


class FrozenCollector(RareCollector):
    """What optimizers do to their parameters that require no gradient and still have one.

    An optimizer leaves a parameter alone whose gradient is None. One that was frozen while its gradient was there keeps it, filled
    with zeros or stale, and then momentum and weight decay go on.

    Args:
        parameters: The model's parameters.
        ranks: The processes that train together.
    """

    def __init__(self, parameters: Parameters, *, ranks: Ranks) -> None:
        super().__init__(ranks=ranks, device=parameters.device)
        self._parameters = parameters
        self._before: dict[int, tuple[Tensor, str]] = {}
        self._indices: list[int] = []
        self._kinds: list[str] = []
        self._results: Tensor | None = None
        self._told: dict[int, str] = {}

    @torch.no_grad()
    def before_step(self, optimizer: Optimizer) -> None:
        """Copy the frozen parameters that this optimizer may move; on a sampled step."""
        room = MAX_ELEMENTS - sum(copy.numel() for copy, _ in self._before.values())
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.requires_grad or parameter.grad is None:
                    continue
                index = self._parameters.index.get(id(parameter))
                own = local(parameter.detach())
                if index is not None and index not in self._before and own.numel() <= room:
                    room -= own.numel()
                    self._before[index] = own.clone(), type(optimizer).__name__

    @torch.no_grad()
    def end_batch(self) -> None:
        """Measure what has become of the copied ones that are still frozen."""
        infos = self._parameters.infos
        self._indices = [index for index in self._before if not infos[index].tensor.requires_grad]
        self._kinds = [self._before[index][1] for index in self._indices]
        copies = [self._before[index][0] for index in self._indices]
        self._before = {}
        self._results = None
        if copies:
            weights = square_sums(copies)
            torch._foreach_sub_(copies, [local(infos[index].tensor.detach()) for index in self._indices])
            self._results = torch.stack([square_sums(copies), weights])

    def abandon(self) -> None:
        """Forget the copies without measuring (the batch failed)."""
        self._before, self._indices, self._results = {}, [], None

    @property
    def has_words(self) -> bool:
        """Whether anything was measured, or was said before."""
        return self._results is not None or bool(self._told)

    def words(self, at: At) -> Sequence[Seen]:
        """Return how far each of them moved, and that those of before do so no longer."""
        results, self._results = self._results, None
        updates, weights = results.tolist() if results is not None else ([], [])
        rows = zip(self._indices, self._kinds, updates, weights, strict=True)
        found = {index: (kind, update, weight) for index, kind, update, weight in rows if math.isfinite(update + weight)}
        self._told |= {index: kind for index, (kind, _, _) in found.items()}
        seen: list[Seen] = []
        for index in self._told:
            kind, update, weight = found.get(index, (self._told[index], 0.0, 0.0))
            seen.append(
                FrozenUpdateSeen(
                    where=self._parameters.infos[index].name, step=at.step, epoch=at.epoch, optimizer=kind,
                    update_norm=math.sqrt(update), weight_norm=math.sqrt(weight),
                )
            )  # fmt: skip
        return seen
