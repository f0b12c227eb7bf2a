"""The inventory: looks at the set-up of a run when training begins, and on the first sampled steps of each epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_nnguard.observation import (
    LoadSeen,
    MetricSeen,
    ModelSeen,
    MonitorSeen,
    OptimizerSeen,
    OptimizerSettingSeen,
    ParameterSeen,
    SamplerSeen,
    ScheduleSeen,
    Seen,
    Stage,
)
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.merge import merged
from lightning_nnguard.probe.inventory.metrics import MetricWatch
from lightning_nnguard.probe.inventory.optimizers import optimizers_seen
from lightning_nnguard.probe.inventory.size import has_trained_gains, model_seen
from lightning_nnguard.probe.inventory.steps import BatchSteps, tensors_of
from lightning_nnguard.probe.inventory.traces import Traces
from lightning_nnguard.probe.names import clean_name
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.rare import RareCollector

#: Kinds of observation that the inventory makes or passes on.
INVENTORY = frozenset(
    {ParameterSeen, OptimizerSeen, ModelSeen, MetricSeen, LoadSeen, MonitorSeen, OptimizerSettingSeen, SamplerSeen, ScheduleSeen}
)
_OF_PARAMETERS = frozenset({ParameterSeen, OptimizerSeen, ModelSeen})
#: Sampled steps of an epoch on which the inventory is taken: on the first one a learning rate may still be 0.
_LOOKS = 2
#: Times that an inventory is told after it has changed: a fault wants two looks, and a recovery one more.
_TELLINGS = 3
_NOW = At(step=0, epoch=0, batch_index=0)


class Inventory(RareCollector):
    """Parameters and who trains them, optimizers and what they hold, metrics and who updates them.

    It lives as long as the fit, so that it knows what has changed since, and it is a `Collector`.

    Args:
        model: The user's LightningModule.
        optimizers: Returns the run's optimizers.
        wanted: Kinds of observation that somebody asks for.
        ranks: The processes that train together.
    """

    def __init__(
        self, model: nn.Module, optimizers: Callable[[], Sequence[Optimizer]], wanted: Collection[type[Seen]], *, ranks: Ranks
    ) -> None:
        super().__init__(ranks=ranks, device=torch.device("cpu"))
        self._model, self._optimizers = model, optimizers
        self._watches_parameters = bool(_OF_PARAMETERS & set(wanted))
        self._metrics = MetricWatch(model) if MetricSeen in wanted else None
        self._traces = Traces(model)
        self._population: int | None = None
        self._is_fine_tuned = self._size_is_told = self._are_moved = False
        self._epoch = -1
        self._num_looks = self._num_tellings = 0
        self._at = _NOW
        self._steps: BatchSteps | None = None
        self._is_due = False
        self._facts: list[Seen] = []
        self._untold: list[Seen] = []
        self._targets_per_sample: Callable[[], float | None] = lambda: None

    def join(self, device: torch.device, targets_per_sample: Callable[[], float | None]) -> None:
        """Join a probe.

        Args:
            device: Where the packed numbers live.
            targets_per_sample: Returns the targets that the loss compares for each sample; None while they are unknown.
        """
        self._device, self._targets_per_sample = device, targets_per_sample

    def start(self, population: int | None) -> None:
        """Take the start of training: optimizers exist, and weights have been loaded.

        Args:
            population: Samples of the training set; None when unknown.
        """
        self._population = population
        if self._watches_parameters:
            self._traces.look()
            self._is_fine_tuned = has_trained_gains(self._model)

    def tell(self, seen: Sequence[Seen]) -> None:
        """Take what somebody else has seen of the set-up, to be told to all ranks."""
        self._untold += seen

    # -- training ------------------------------------------------------------------------------------------------------------

    def start_batch(self, at: At) -> None:
        """Begin a sampled batch of training."""
        if at.epoch != self._epoch:
            self._epoch, self._num_looks = at.epoch, 0
        self._num_looks += 1
        self._at = at
        self._is_due = self._num_looks <= _LOOKS
        if not self._is_due:
            return
        if self._watches_parameters:
            self._steps = BatchSteps(self._model, self._optimizers())
            self._traces.look()
            self._traces.keep_values(self._holders())
        if self._metrics is not None:
            self._metrics.start_training_batch()

    def check_loss(self, loss: Tensor, at: At) -> None:
        """Take what a backward pass starts from; when nothing is trainable, it is about to fail."""
        if not loss.requires_grad and self._watches_parameters:
            seen = model_seen(self._model, self._optimizers(), at, num_targets=None, is_fine_tuned=self._is_fine_tuned)
            self._untold += [] if seen.num_trainable else [seen]

    def note_step(self, optimizer: Optimizer) -> None:
        """Take the moment before an optimizer moves weights; gradients are there."""
        if self._steps is not None:
            self._steps.note_step(optimizer)

    def end_batch(self) -> None:
        """End a sampled batch: take the inventory, when it is due."""
        steps, self._steps = self._steps, None
        if self._is_due and self._metrics is not None:
            self._metrics.end_training_batch()
        self._is_due = False
        if steps is None or not self._holders():
            return  # Lightning puts an optimizer of nothing where the user has none
        steps.note_gradients()
        facts = self._look(steps)
        if facts != self._facts:
            self._facts, self._num_tellings = facts, 0
        self._num_tellings += 1
        if self._num_tellings <= _TELLINGS:
            self._untold += [replace(each, step=self._at.step, epoch=self._at.epoch) for each in facts]
        if not self._size_is_told:
            self._size_is_told = True
            self._untold.append(self._size())

    def abandon(self) -> None:
        """Forget a sampled batch that does not come to its end."""
        self._is_due, self._steps = False, None

    def _holders(self) -> Counter[int]:
        """Return how many optimizers hold each tensor, by its id."""
        return Counter(tensor for each in self._optimizers() for tensor in {id(tensor) for tensor in tensors_of(each)})

    def _look(self, steps: BatchSteps) -> list[Seen]:
        """Return the inventory."""
        self._traces.look()
        named = {clean_name(name): parameter for name, parameter in self._model.named_parameters()}
        holders, received = self._holders(), steps.received
        orphans = {
            name: parameter
            for name, parameter in named.items()
            if parameter.requires_grad and id(parameter) in received and not holders[id(parameter)]
        }
        # Whoever moves one of them (sharding, master copies, the user's own loop) may move all, some only by less than can be seen.
        self._are_moved |= sum(self._traces.of(name).moves(parameter) for name, parameter in orphans.items()) > 0
        seen = [
            ParameterSeen(
                where=name, step=_NOW.step, epoch=_NOW.epoch, trainable=parameter.requires_grad,
                num_optimizers=holders[id(parameter)], receives_gradient=id(parameter) in received,
                is_new=self._traces.of(name).is_new,
                became_trainable=parameter.requires_grad and self._traces.of(name).was_frozen,
                is_written=self._are_moved and name in orphans,
                num_repeats=steps.num_repeats[id(parameter)], num_alike=steps.num_alike(parameter),
            )
            for name, parameter in named.items()
        ]  # fmt: skip
        own = {id(each) for each in [*named.values(), *self._model.buffers()]}
        return [*seen, *optimizers_seen(self._optimizers(), own, {} if self._are_moved else orphans, _NOW)]

    def _size(self) -> ModelSeen:
        targets, samples = self._targets_per_sample(), self._population
        num_targets = targets * samples if targets is not None and samples is not None else None
        if num_targets is not None and num_targets < 1:
            num_targets = None  # what the loader counts is no sample: one graph, one file
        return model_seen(self._model, self._optimizers(), self._at, num_targets=num_targets, is_fine_tuned=self._is_fine_tuned)

    # -- evaluation ----------------------------------------------------------------------------------------------------------

    def start_evaluation_batch(self, *, is_first: bool) -> None:
        """Begin the first batch of a loader of an evaluation.

        Args:
            is_first: Whether it is the first loader.
        """
        if self._metrics is not None:
            self._metrics.start_evaluation_batch(is_first=is_first)

    def end_evaluation_batch(self) -> None:
        """End it."""
        if self._metrics is not None:
            self._metrics.end_evaluation_batch()

    def end_evaluation(self, stage: Stage, at: At) -> None:
        """Take what the evaluation did to metrics."""
        if self._metrics is not None:
            self._untold += self._metrics.end_evaluation(stage, at)

    # -- telling -------------------------------------------------------------------------------------------------------------

    @property
    def has_words(self) -> bool:
        """Whether this rank has something to tell; ranks talk only when something is new."""
        return bool(self._untold)

    def words(self, at: At) -> Sequence[Seen]:
        """Return what this rank has seen and not told."""
        untold, self._untold = self._untold, []
        return untold

    def rest(self) -> Sequence[Seen]:
        """Return what this rank has seen and not told; the run is over."""
        return self.words(self._at)

    def merge(self, at: At) -> Sequence[Seen]:
        """Return what all ranks have seen since the last time; every rank must call this at the same time."""
        return merged(self._ranks.gather(self.words(at)))

    def pack(self) -> tuple[Tensor, Tensor]:
        """Take the inventory, when it is due, and return whether this rank has something to tell; see `Collector`."""
        self.end_batch()
        return super().pack()
