"""The audit: decides which batches are recorded, and tells all ranks what the records say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from lightning_nnguard.observation import Seen, Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.measures import MEASURES
from lightning_nnguard.probe.audit.merge import merged
from lightning_nnguard.probe.audit.readers import READERS
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.tape import Tape
from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.modules import ModelView
from lightning_nnguard.probe.ranks import Ranks

#: Parameters and buffers of a model: their ids, and whether they are trained.
_Signature = frozenset[tuple[int, bool]]


#: Steps after which the second audit of an evaluation is due: running statistics have settled by then.
_SECOND_EVALUATION = 100


class Audit:
    """Records the first batch of training, one after the first epoch, one whenever the model has changed, and some of evaluation.

    Args:
        model: The user's LightningModule.
        wanted: Kinds of observations that somebody asks for.
        ranks: The processes that train together.
        device: Where the packed numbers live.
        on_error: Takes the exception of a reader, which is left out from then on.
    """

    def __init__(
        self, model: nn.Module, wanted: Collection[type[Seen]], *, ranks: Ranks, device: torch.device,
        on_error: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        self._model, self._ranks, self._device, self._on_error = model, ranks, device, on_error
        self._readers = [reader for kind, reader in READERS.items() if kind in wanted]
        self._audited: tuple[bool, _Signature] | None = None
        self._evaluated: dict[tuple[Stage, int], int] = {}
        self._stage: Stage = "train"
        self._at = At(step=0, epoch=0, batch_index=0)
        self._batch_size: int | None = None
        self._losses: list[Tensor] = []
        self._manual = False
        self._untold: list[Seen] = []
        self.tape: Tape | None = None

    def start_training(self, batch: object, at: At, *, manual: bool) -> None:
        """Begin to record a training batch, when one is due; only sampled steps come here."""
        signature = frozenset((id(each), each.requires_grad) for each in [*self._model.parameters(), *self._model.buffers()])
        due = (at.epoch > 0, signature)
        if due != self._audited:
            self._audited = due
            self._manual = manual
            self._begin("train", batch, at)

    def start_evaluation(self, stage: Stage, batch: object, at: At, loader: int) -> None:
        """Begin to record a batch of an evaluation stage, when one is due: the first, then one each time the steps have doubled."""
        last = self._evaluated.get((stage, loader))
        if last is None or at.step >= max(2 * last, _SECOND_EVALUATION):
            self._evaluated[stage, loader] = at.step
            self._begin(stage, batch, at)

    def _begin(self, stage: Stage, batch: object, at: At) -> None:
        self._stage, self._at = stage, at
        self._losses = []
        sizes = [tensor.shape[0] for _, tensor in tensors_in(batch) if tensor.dim()]
        self._batch_size = sizes[0] if sizes else None
        self.tape = Tape(self._model, batch, MEASURES)

    def note_loss(self, loss: Tensor) -> None:
        """Take what a backward pass starts from."""
        if self.tape is not None:
            self._losses.append(loss)

    def end(self) -> None:
        """End the record, if there is one, and read it; safe after an exception in the step."""
        tape, self.tape = self.tape, None
        if tape is None:
            return
        losses, self._losses = self._losses, []
        view = ModelView.of(self._model)
        record = Record(
            at=self._at, stage=self._stage, calls=tuple(tape.calls), is_whole=not tape.is_full,
            losses=tuple(tape.value(loss) for loss in losses), manual=self._manual, batch=tape.batch,
            batch_size=self._batch_size, loss_modules=frozenset(view.names[each] for each in view.losses),
        )  # fmt: skip
        for reader in list(self._readers):
            try:
                self._untold += reader(record)
            except Exception as error:
                self._readers.remove(reader)
                self._on_error(error)

    def rest(self) -> Sequence[Seen]:
        """Return what this rank has seen and not told, when the run ends in the middle of a step."""
        with suppress(Exception):
            self.end()
        untold, self._untold = self._untold, []
        return untold

    def merge(self) -> Sequence[Seen]:
        """Return what all ranks have seen since the last time; every rank must call this at the same time."""
        untold, self._untold = self._untold, []
        return merged(self._ranks.gather(untold))

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 1

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return whether this rank has something to tell; see `Collector`."""
        self.end()
        told = torch.full((1,), float(bool(self._untold)), dtype=torch.float32, device=self._device)
        return torch.zeros(0, dtype=torch.float32, device=self._device), told

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Tell all ranks what any of them has seen."""
        return self.merge() if maxima[0] > 0 else ()
