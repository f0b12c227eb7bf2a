"""The watch over what loss functions get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lightning_nnguard.observation import OutputSpreadSeen, PredictionsSeen, Seen, Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.chance import is_among
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.frames import Caller, expression
from lightning_nnguard.probe.outputs.predictions import PredictionTallies, seen_of
from lightning_nnguard.probe.outputs.rows import MAX_ROWS, rows_of
from lightning_nnguard.probe.outputs.spread import SLOTS, OutputSpread
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks

KINDS: frozenset[type[Seen]] = frozenset({OutputSpreadSeen, PredictionsSeen})
#: Steps before which evaluations are not looked at: fresh networks often choose one class.
_MIN_STEPS = 100
#: Batches of a loader that are looked at one by one, and up to which number while so few predictions have been taken; of the others
#: those whose number is a power of two.
_FIRST_BATCHES = 4
_FIRST_SMALL_BATCHES = 64
_FEW_PREDICTIONS = 256
#: Parameters, and weights of each, by which other weights are known.
_FEW = 8


class OutputWatch:
    """Spreads of outputs on sampled steps of training, and predictions of some batches of validations; see `BatchWatch`.

    Args:
        wanted: Kinds of observation that somebody asks for.
        parameters: The model's parameters.
        ranks: The processes that train together.
        in_warmup: Returns whether the learning rate is rising.
        on_error: Takes an exception; nothing is taken of loss calls then.
    """

    def __init__(
        self, wanted: Collection[type[Seen]], parameters: Parameters, *, ranks: Ranks, in_warmup: Callable[[], bool],
        on_error: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self._parameters, self._device = parameters, parameters.device
        self._in_warmup, self._on_error = in_warmup, on_error
        self._has_failed = False
        self._spread = OutputSpread(device=self._device, in_warmup=in_warmup) if OutputSpreadSeen in wanted else None
        self._predictions = PredictionTallies() if PredictionsSeen in wanted else None
        self._max_rows = max(MAX_ROWS // ranks.world_size, 64)
        self._data: list[Tensor] = []
        self._numbers: Counter[str] = Counter()
        self._loader: int | None = None
        self._is_on = False
        self._weights: Tensor | None = None
        self._sources: dict[tuple[object, int], str | None] = {}

    # -- batches -------------------------------------------------------------------------------------------------------------

    def start_batch(self, batch: object, at: At, *, sampled: bool) -> None:
        """Take a batch of training."""
        if sampled:
            self._begin(batch, None)
        elif self._data:  # the sampled batch before was skipped
            self._is_on, self._data = False, []

    def wants_batch(self, stage: Stage, at: At, loader: int) -> bool:
        """Return whether the loss calls of a batch of evaluation are asked for."""
        if self._predictions is None or stage != "validate" or at.step < _MIN_STEPS:
            return False
        index = at.batch_index
        if index < _FIRST_BATCHES or not index & (index - 1):
            return True
        return index < _FIRST_SMALL_BATCHES and self._predictions.num_taken(loader) < _FEW_PREDICTIONS

    def start_evaluation_batch(self, stage: Stage, batch: object, at: At, loader: int) -> None:
        """Take a batch of an evaluation."""
        self._is_on = False
        if self.wants_batch(stage, at, loader):
            self._begin((), loader)
            if self._weights is None:
                self._weights = self._some_weights()

    def _begin(self, batch: object, loader: int | None) -> None:
        self._is_on, self._loader = True, loader
        self._numbers.clear()
        self._data = [tensor for _, tensor in tensors_in(batch) if tensor.layout is torch.strided and not tensor.is_meta]

    def on_loss(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object, who: Caller) -> None:
        """Take one call of a loss function."""
        if not self._is_on or self._has_failed:
            return
        try:
            self._take(name, args, kwargs, result, who)
        except Exception as error:  # whatever a tensor of the user's does
            self._has_failed = True
            self._on_error(error)

    def _take(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object, who: Caller) -> None:
        slot, number = self._numbers.total(), self._numbers[name]
        self._numbers[name] += 1
        in_training = self._loader is None
        if slot >= SLOTS or not isinstance(result, Tensor) or (in_training and not result.requires_grad):
            return
        with torch.no_grad(), torch._C.DisableTorchFunction():
            rows = rows_of(name, args, kwargs, max_rows=self._max_rows)
            if rows is None:
                return
            where = f"{who.path}.{name}()" if who.path else f"{name}()"
            where, source = f"{where}#{number + 1}" if number else where, self._source(who)
            if self._predictions is not None and rows.num_classes:
                self._predictions.take((name, number), rows, self._loader, where=where, source=source)
            if self._spread is not None and in_training:
                target = args[1] if len(args) > 1 else kwargs["target"]
                is_data = is_among(target.detach(), self._data)
                self._spread.take(slot, rows, is_data, where=where, function=name, source=source)

    def _source(self, who: Caller) -> str | None:
        place = who.code, who.instruction
        if place not in self._sources:
            text = expression(who) if who.source else ""
            self._sources[place] = f"{who.source}, `{text}`" if text else who.source
        return self._sources[place]

    # -- training ------------------------------------------------------------------------------------------------------------

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return self._spread.sizes if self._spread is not None else (0, 0)

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return what is to be summed over ranks; see `Collector`."""
        self._is_on, self._data = False, []
        empty = torch.zeros(0, dtype=torch.float32, device=self._device)
        return self._spread.pack() if self._spread is not None else empty, empty

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers of one sampled step into observations."""
        return self._spread.observe(sums, at) if self._spread is not None else ()

    # -- evaluation ----------------------------------------------------------------------------------------------------------

    def end_evaluation(self, stage: Stage, at: At) -> object:
        """End an evaluation and return what this rank has seen."""
        self._is_on = False
        before, self._weights = self._weights, None
        if self._predictions is None or before is None:
            return None
        part, now = self._predictions.end(), self._some_weights()
        # Weights that have been exchanged for an evaluation are back by now: a young average may well be a bad classifier.
        return part if torch.equal(before, now) else None

    @torch.no_grad()
    def _some_weights(self) -> Tensor:
        """Return a few weights of some parameters."""
        own = [info.tensor for info in self._parameters.infos if not hasattr(info.tensor, "to_local")]
        some = [each.detach().reshape(-1)[:_FEW].to(self._device, torch.float32) for each in own[:: max(len(own) // _FEW, 1)]]
        return torch.cat(some) if some else torch.zeros(0)

    def read_evaluation(self, stage: Stage, at: At, parts: Sequence[Any]) -> Sequence[Seen]:
        """Return what all ranks have seen."""
        in_warmup = self._in_warmup()
        return [replace(each, in_warmup=in_warmup) for each in seen_of(parts, stage, at)]
