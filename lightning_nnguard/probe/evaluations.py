"""What is watched in evaluations: a few batches are audited, each batch is offered to whoever looks at batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from lightning_nnguard.observation import Seen, Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.compiled import COMPILED, UNSEEN, can_run_uncompiled
from lightning_nnguard.probe.forward import ForwardWatch
from lightning_nnguard.probe.parts import Parts
from lightning_nnguard.probe.ranks import Ranks

_UNCOMPILED = (
    f"{COMPILED}the first batch of an evaluation runs without the compiler to be audited, once and whenever the steps have "
    "doubled; its metrics may differ in the last digits"
)
_NOT_UNCOMPILED = (
    f"{COMPILED}an evaluation was not audited without the compiler, because it may draw random numbers, "
    "which would be others then (the sanity check tells), or because it uses flex attention"
)


class EvaluationWatch:
    """Watches validations, tests and predictions.

    Args:
        model: The user's LightningModule.
        parts: What the probe watches with.
        forward: Watches the forward of a batch.
        ranks: The processes that train together.
        attempts: Runs the parts.
        note: Takes a line about something the guard could not do.
    """

    def __init__(
        self, model: nn.Module, parts: Parts, forward: ForwardWatch, *, ranks: Ranks, attempts: Attempts,
        note: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._model, self._parts, self._forward, self._attempts, self._note = model, parts, forward, attempts, note
        self._ranks = ranks

    def start_batch(self, stage: Stage, batch: object, at: At, loader: int, *, is_rehearsal: bool) -> None:
        """Begin a batch; the first one of each loader may be audited.

        Args:
            stage: The stage.
            batch: The batch.
            at: Its moment.
            loader: Index of its loader.
            is_rehearsal: Whether no training follows on the random state that the batch leaves behind.
        """
        for name, watch in self._parts.batches.items():
            self._attempts.run(name, watch.start_evaluation_batch, stage, batch, at, loader)
        if at.batch_index == 0:
            self._start_audit(stage, batch, at, loader, is_rehearsal=is_rehearsal)
        elif self._parts.outputs is not None and self._parts.outputs.wants_batch(stage, at, loader):
            self._attempts.run("forward watch", self._forward.attach_functions)

    def _start_audit(self, stage: Stage, batch: object, at: At, loader: int, *, is_rehearsal: bool) -> None:
        parts = self._parts
        if parts.inventory is not None:
            self._attempts.run("inventory", parts.inventory.start_evaluation_batch, is_first=loader == 0)
        if parts.modes is None and parts.audit is None and parts.outputs is None:
            return
        self._forward.look()
        uncompiled = self._forward.is_compiled
        if uncompiled and not self._may_run_uncompiled(stage, at, loader, is_rehearsal=is_rehearsal):
            return
        if parts.modes is not None:
            parts.modes.stage = stage
        if parts.audit is not None:
            self._attempts.run("audit", parts.audit.start_evaluation, stage, batch, at, loader)
        recorder = parts.audit.recorder if parts.audit is not None and not self._attempts.is_off("audit") else None
        self._attempts.run("forward watch", partial(self._forward.attach_functions, recorder, uncompiled=uncompiled))

    def _may_run_uncompiled(self, stage: Stage, at: At, loader: int, *, is_rehearsal: bool) -> bool:
        """Return whether a batch is audited without the compiler, which draws other random numbers than it."""
        audit = self._parts.audit
        if audit is None:
            self._note(f"{COMPILED}{UNSEEN}")
            return False
        if self._attempts.is_off("audit", "forward watch") or not audit.is_due(stage, at, loader):
            return False
        may = can_run_uncompiled(self._model) and (is_rehearsal or audit.draws_nothing(stage))
        self._note(_UNCOMPILED if may else _NOT_UNCOMPILED)
        return may

    def end_batch(self, at: At, *, stands_by: bool) -> None:
        """End a batch.

        Args:
            at: Its moment.
            stands_by: Whether nothing is watched any more.
        """
        if self._parts.inputs is not None:
            self._parts.inputs.detach()
        if self._parts.outputs is not None or not at.batch_index:
            self._forward.detach()
        if at.batch_index:
            return
        if self._parts.audit is not None:
            self._attempts.run("audit", self._parts.audit.end)
        if self._parts.inventory is not None and not stands_by:
            self._attempts.run("inventory", self._parts.inventory.end_evaluation_batch)

    def end(self, stage: Stage, at: At) -> Sequence[Seen]:
        """End an evaluation and return what it showed; all ranks at once, also those that watch nothing any more."""
        parts, seen = self._parts, list[Seen]()
        try:
            if parts.modes is not None:
                parts.modes.stage = stage
                seen += parts.modes.merge(at)
                parts.modes.stage = "train"
        finally:  # the other ranks wait for this one's words, whatever went wrong with the modes
            if parts.audit is not None:
                seen += parts.audit.merge(at)
            if parts.inventory is not None:
                self._attempts.run("inventory", parts.inventory.end_evaluation, stage, at)
                seen += parts.inventory.merge(at)
            seen += self._read_batches(stage, at)
        return seen

    def _read_batches(self, stage: Stage, at: At) -> list[Seen]:
        watches = self._parts.batches
        if not watches:
            return []
        own, seen = dict[str, object](), list[Seen]()

        def end(name: str) -> None:
            own[name] = watches[name].end_evaluation(stage, at)

        def read(name: str) -> None:
            seen.extend(watches[name].read_evaluation(stage, at, [part.get(name) for part in by_rank]))

        for name in watches:
            self._attempts.run(name, end, name)
        by_rank = [parts[0] for parts in self._ranks.gather([own])]
        for name in watches:
            self._attempts.run(name, read, name)
        return seen
