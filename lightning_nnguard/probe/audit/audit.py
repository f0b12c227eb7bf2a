"""The audit: decides which batches are recorded, and tells all ranks what the records say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lightning_nnguard.observation import Seen, Stage, UnregisteredParameterSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.elements import twins
from lightning_nnguard.probe.audit.feed import Feed, feed
from lightning_nnguard.probe.audit.loose import LooseTensors
from lightning_nnguard.probe.audit.measures import MEASURES
from lightning_nnguard.probe.audit.merge import merged
from lightning_nnguard.probe.audit.objective import Objective, objective
from lightning_nnguard.probe.audit.readers import READERS
from lightning_nnguard.probe.audit.readers.loss_calls import loss_calls
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.severed import severed
from lightning_nnguard.probe.audit.tape import Tape
from lightning_nnguard.probe.audit.targets import targets_per_sample
from lightning_nnguard.probe.audit.twin import Twin
from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.calls import Recorder
from lightning_nnguard.probe.copies import random_state
from lightning_nnguard.probe.modules import ModelView
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.rare import RareCollector

#: Parameters of a model: their ids, and whether they are trained. Buffers may be new ones at each step.
_Signature = frozenset[tuple[int, bool]]
#: Audits of training in one run at most, for models whose parameters are new ones again and again.
_MAX_TRAINING = 8
#: Steps after which the second audit of an evaluation is due: running statistics have settled by then.
_SECOND_EVALUATION = 100


class Audit(RareCollector):
    """Records the first batch of training, one after the first epoch, one whenever the model has changed, and some of evaluation.

    Args:
        model: The user's LightningModule.
        wanted: Kinds of observations that somebody asks for.
        ranks: The processes that train together.
        device: Where the packed numbers live.
        optimized: Returns the ids of the parameters that some optimizer holds.
        maximizes: Returns whether all optimizers are told to go uphill.
        on_error: Takes an exception and the name of the part that raised it: the audit, or a reader, which is left out then.

    Attributes:
        tape: What is being recorded; None when nothing is.
        targets_per_sample: Targets that the loss compared for each sample in the latest record of training; None when unknown.
        cuts: Lines that cut parameters off from the losses, by their names, in the latest record of training by hand.
        feeds: Where the batches of a stage go, by its latest record; of an evaluation, those of the first loader.
    """

    def __init__(
        self, model: nn.Module, wanted: Collection[type[Seen]], *, ranks: Ranks, device: torch.device,
        optimized: Callable[[], Collection[int]], maximizes: Callable[[], bool], on_error: Callable[[Exception, str], None],
    ) -> None:  # fmt: skip
        super().__init__(ranks=ranks, device=device)
        self._model, self._on_error = model, on_error
        self._optimized, self._maximizes = optimized, maximizes
        self._readers = [reader for kind, reader in READERS.items() if kind in wanted]
        self._loose = LooseTensors(model, optimized) if UnregisteredParameterSeen in wanted else None
        self._audited: tuple[bool, _Signature] | None = None
        self._num_training = 0
        self._evaluated: dict[tuple[Stage, int], int] = {}
        self._stage: Stage = "train"
        self._at = At(step=0, epoch=0, batch_index=0)
        self._batch_size: int | None = None
        self._largest = 0
        self._objectives: list[Objective] = []
        self._manual = False
        self._loader = 0
        self._random: tuple[Tensor, ...] = ()
        self._twins: tuple[Twin, ...] = ()
        self._draws: dict[Stage, bool] = {}
        self._untold: list[Seen] = []
        self.targets_per_sample: float | None = None
        self.cuts: Mapping[str, Sequence[str]] = {}
        self.feeds: dict[Stage, Feed] = {}
        self.tape: Tape | None = None

    @property
    def recorder(self) -> Recorder | None:
        """What takes the calls of the batch that is recorded; None when none is. A tape that raises ends the record."""
        tape = self.tape
        if tape is None:
            return None

        def record(func: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
            if self.tape is tape:
                try:
                    tape.record(func, args, kwargs, result)
                except Exception as error:
                    self.tape = None
                    self._on_error(error, "audit")

        return record

    def start_training(self, batch: object, at: At, *, manual: bool) -> None:
        """Begin to record a training batch, when one is due; only sampled steps come here."""
        signature = frozenset((id(each), each.requires_grad) for each in self._model.parameters())
        due = (at.epoch > 0, signature)
        if due != self._audited and self._num_training < _MAX_TRAINING:
            self._audited = due
            self._num_training += 1
            self._manual = manual
            self._loader = 0
            self._begin("train", batch, at)

    def is_due(self, stage: Stage, at: At, loader: int) -> bool:
        """Return whether a batch of an evaluation stage is to be recorded: the first, then one each time the steps have doubled."""
        last = self._evaluated.get((stage, loader))
        return last is None or at.step >= max(2 * last, _SECOND_EVALUATION)

    def draws_nothing(self, stage: Stage) -> bool:
        """Return whether the latest record of an evaluation stage showed that it draws no random numbers."""
        return not self._draws.get(stage, True)

    def start_evaluation(self, stage: Stage, batch: object, at: At, loader: int) -> None:
        """Begin to record a batch of an evaluation stage, when one is due."""
        if self.is_due(stage, at, loader):
            self._evaluated[stage, loader] = at.step
            self._loader = loader
            self._begin(stage, batch, at)

    def _begin(self, stage: Stage, batch: object, at: At) -> None:
        self._stage, self._at = stage, at
        self._objectives = []
        self._twins = self._compared(batch) if stage == "train" else ()
        self._random = () if stage == "train" else random_state(self._device)
        sizes = [tensor.size(0) for _, tensor in tensors_in(batch) if tensor.dim()]
        self._batch_size = sizes[0] if sizes else None
        self.tape = Tape(self._model, batch, MEASURES)

    def _compared(self, batch: object) -> tuple[Twin, ...]:
        try:
            return twins(batch) if loss_calls in self._readers else ()
        except Exception as error:
            self._on_error(error, "audit of equal elements")
            return ()

    def note_loss(self, loss: Tensor) -> None:
        """Take what a backward pass starts from."""
        if self.tape is not None:
            self._objectives.append(objective(loss, self.tape, {id(each) for each in self._trainable}))

    def end_backward(self) -> None:
        """Take the end of a backward pass."""
        if self.tape is not None and self._objectives:
            num_gradients = sum(each.grad is not None for each in self._trainable)
            self._objectives[-1] = replace(self._objectives[-1], num_gradients=num_gradients)

    @property
    def _trainable(self) -> list[nn.Parameter]:
        return [each for each in self._model.parameters() if each.requires_grad]

    def abandon(self) -> None:
        """Forget the record of a batch that was skipped; the next one is recorded instead."""
        if self.tape is not None:
            self.tape, self._audited, self._objectives = None, None, []

    def end(self, *, is_whole: bool = True) -> None:
        """End the record, if there is one, and read it.

        Args:
            is_whole: Whether the batch has come to its end.
        """
        tape, self.tape = self.tape, None
        if tape is None:
            return
        objectives, self._objectives = self._objectives, []
        drew = self._stage != "train" and not all(map(torch.equal, self._random, random_state(self._device)))
        if self._stage != "train":
            self._draws[self._stage] = drew
        view = ModelView.of(self._model)
        record = Record(
            at=self._at, stage=self._stage, calls=tuple(tape.calls), is_whole=is_whole and not tape.is_full,
            losses=tuple(each.value for each in objectives), manual=self._manual, batch=tape.batch,
            batch_size=self._batch_size, loss_modules=frozenset(view.names[each] for each in view.losses), drew_random=drew,
            is_short=self._is_short(), strangers=tape.strangers.named(self._model, self._optimized()),
            objectives=tuple(objectives), num_trainable=len(self._trainable), is_maximized=self._maximizes(),
            twins=self._twins,
        )  # fmt: skip
        if self._stage == "train":
            self.targets_per_sample = targets_per_sample(record)
            self.cuts = severed(record) if record.manual else {}
            self._with_loose(lambda loose: loose.meet(record, tape.loose))
        if self._loader == 0:
            self.feeds[self._stage] = feed(record)
        for reader in list(self._readers):
            try:
                self._untold += reader(record)
            except Exception as error:
                self._readers.remove(reader)
                self._on_error(error, f"audit of {reader.__name__.replace('_', ' ')}")

    def _with_loose(self, work: Callable[[LooseTensors], Sequence[Seen] | None]) -> Sequence[Seen] | None:
        """Let the loose tensors do something, as long as that does not raise."""
        try:
            return work(self._loose) if self._loose is not None else None
        except Exception as error:
            self._loose = None
            self._on_error(error, "audit of loose tensors")
            return None

    def _is_short(self) -> bool:
        size, largest = self._batch_size or 0, self._largest
        self._largest = max(size, largest) if self._stage == "train" else largest
        return self._stage == "train" and size < largest

    def rest(self) -> Sequence[Seen]:
        """Return what this rank has seen and not told, when the run ends in the middle of a step."""
        with suppress(Exception):
            self.end(is_whole=False)
        return self.words(self._at)

    @property
    def has_words(self) -> bool:
        """Whether this rank has something to tell."""
        return bool(self._untold)

    def words(self, at: At) -> Sequence[Seen]:
        """Return what this rank has seen since the last time."""
        untold, self._untold = self._untold, []
        return untold

    def pack(self) -> tuple[Tensor, Tensor]:
        """End the record, and return whether this rank has something to tell; see `Collector`."""
        self._untold += self._with_loose(LooseTensors.confirm) or ()
        self.end()
        return super().pack()

    def merge(self, at: At) -> Sequence[Seen]:
        """Return what all ranks have seen since the last time; every rank must call this at the same time."""
        return merged(self._ranks.gather(self.words(at)))
