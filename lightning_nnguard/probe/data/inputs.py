"""What the first layers are given, on sampled steps of training and in the first validations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_nnguard.observation import ConstantInputSeen, InputShiftSeen, Seen, Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.feed import Feed
from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.data.constancy import Constancy, Told, constant_inputs
from lightning_nnguard.probe.data.hooks import Fail, InputHooks
from lightning_nnguard.probe.data.shift import LayerSums, Side, shifts
from lightning_nnguard.probe.ranks import Ranks

#: Kinds of observation that come from here.
KINDS: frozenset[type[Seen]] = frozenset({ConstantInputSeen, InputShiftSeen})
#: Sampled steps that are looked at: by then as much is known as will ever be needed.
_MAX_BATCHES = 200
#: Batches after which it is told how samples differ, and then whenever there are twice as many.
_FIRST_TELLING = 5
#: Validations that are compared with training, the second one to be sure.
_MAX_VALIDATIONS = 3
#: Samples of training that a comparison needs.
_MIN_SAMPLES = 100
#: Layers that are looked at: a model of many branches has as many first layers.
_MAX_LAYERS = 8


class InputWatch:
    """Looks at the inputs of the layers that are given the batch, with hooks that live for one batch; a `BatchWatch`.

    Which layers these are is known once a batch of training, and one of validation, was audited. Of several validation loaders
    the first is compared.

    Args:
        model: The user's LightningModule.
        wanted: Kinds of observation that somebody asks for.
        feed: Returns where the batches of a stage go; None while that is unknown.
        ranks: The processes that train together.
        device: Where the packed numbers live.
        on_error: Takes an exception of a hook.
    """

    def __init__(
        self, model: nn.Module, wanted: Collection[type[Seen]], feed: Callable[[Stage], Feed | None], *, ranks: Ranks,
        device: torch.device, on_error: Fail,
    ) -> None:  # fmt: skip
        self._feed, self._ranks, self._device = feed, ranks, device
        self._hooks = InputHooks(model, self._take, on_error)
        self._constancy = Constancy() if ConstantInputSeen in wanted else None
        self._train: Side | None = Side() if InputShiftSeen in wanted else None
        self._validation: Side | None = None
        self._is_training = False
        self._num_batches = self._num_validations = 0
        self._next = _FIRST_TELLING
        self._population: int | None = None
        self._steps_per_epoch: int | None = None

    def know(self, population: int | None, steps_per_epoch: int | None) -> None:
        """Take what is known when the data has been set up.

        Args:
            population: Samples of the training set; None when unknown.
            steps_per_epoch: Optimizer steps of one epoch; None when unknown.
        """
        self._population, self._steps_per_epoch = population, steps_per_epoch

    def detach(self) -> None:
        """Remove all hooks: the batch is over, or does not come to its end; safe to call at any time."""
        self._hooks.remove()

    # -- training ------------------------------------------------------------------------------------------------------------

    def start_batch(self, batch: object, at: At, *, sampled: bool) -> None:
        """Take a batch of training."""
        if not sampled:
            return
        feed = self._feed("train")
        if feed is None or not 0 < len(feed.layers) <= _MAX_LAYERS or self._num_batches >= _MAX_BATCHES:
            return
        self._num_batches += 1
        self._is_training = True
        if self._constancy is not None:
            self._constancy.start_batch(batch, feed)
        if self._train is not None:
            self._train = self._train.with_samples(_num_samples(batch))
        self._hooks.attach(feed.layers)

    def _take(self, path: str, module: nn.Module, source: Tensor) -> None:
        if self._is_training and self._constancy is not None:
            self._constancy.take(path, source)
        if source.is_floating_point():
            if self._is_training and self._train is not None:
                self._train = self._train.with_call(path, LayerSums.of(module, source))
            elif not self._is_training and self._validation is not None:
                self._validation = self._validation.with_call(path, LayerSums.of(module, source))

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 1

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return whether this rank has something to tell; see `Collector`."""
        self.detach()
        is_due = False
        if self._is_training and self._constancy is not None:
            self._constancy.end_batch(self._device)
            is_due = self._constancy.num_batches >= self._next
        self._is_training = False
        due = torch.full((1,), float(is_due), dtype=torch.float32, device=self._device)
        return torch.zeros(0, dtype=torch.float32, device=self._device), due

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Tell all ranks how samples differ, when that is due on any of them."""
        if maxima[0] <= 0:
            return ()
        own: list[Told] = []
        try:
            if self._constancy is not None:
                own = [self._constancy.told()]
                self._next = 2 * max(self._next, self._constancy.num_batches)
        finally:  # the other ranks wait for this one's words
            by_rank = self._ranks.gather(own)
        return constant_inputs([each for part in by_rank for each in part], at)

    # -- evaluation ----------------------------------------------------------------------------------------------------------

    def start_evaluation_batch(self, stage: Stage, batch: object, at: At, loader: int) -> None:
        """Take a batch of an evaluation."""
        self.detach()
        self._is_training = False
        if self._train is None or stage != "validate" or loader or not self._is_comparable(at):
            return
        feed, other = self._feed("train"), self._feed("validate")
        if feed is None or other is None or not 0 < len(feed.layers) <= _MAX_LAYERS:
            return
        validation = self._validation if self._validation is not None and at.batch_index else Side()
        self._validation = validation.with_samples(_num_samples(batch))
        self._hooks.attach(feed.layers)

    def _is_comparable(self, at: At) -> bool:
        """Return whether training was sampled all over an epoch, and the comparison is still wanted."""
        assert self._train is not None
        is_epoch_over = at.epoch > 0 or (self._steps_per_epoch is not None and at.step >= self._steps_per_epoch)
        return is_epoch_over and self._train.num_samples >= _MIN_SAMPLES and self._num_validations < _MAX_VALIDATIONS

    def end_evaluation(self, stage: Stage, at: At) -> object:
        """End an evaluation and return what this rank saw of it."""
        self.detach()
        validation, self._validation = self._validation, None
        feed, other = self._feed("train"), self._feed("validate")
        if stage != "validate" or validation is None or self._train is None or feed is None or other is None:
            return None
        self._num_validations += 1
        layers = {path: ", ".join(sorted(found)) for path, found in feed.layers.items() if path in other.layers}
        return layers, self._train.on_host(list(layers)), validation.on_host(list(layers))

    def read_evaluation(self, stage: Stage, at: At, parts: Sequence[Any]) -> Sequence[Seen]:
        """Return what a validation showed against training, all ranks together."""
        if any(part is None for part in parts):
            return ()
        (layers, train, validation), *others = parts
        for _, more_train, more_validation in others:
            train, validation = train.plus(more_train), validation.plus(more_validation)
        return shifts(train, validation, layers, at, self._population)


def _num_samples(batch: object) -> int:
    return next((tensor.size(0) for _, tensor in tensors_in(batch) if tensor.dim()), 0)
