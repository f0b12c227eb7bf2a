"""What an audit of one batch has written down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lightning_nnguard.observation import Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import ancestors
from lightning_nnguard.probe.audit.made_of import MadeOf, Makings
from lightning_nnguard.probe.audit.objective import Objective
from lightning_nnguard.probe.audit.strangers import Stranger
from lightning_nnguard.probe.audit.twin import Twin


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """The record of one audited batch; readers turn it into observations.

    Attributes:
        at: Its moment.
        stage: Its loop.
        calls: All calls, in order; the loss functions, optimizers and hooks of the user included, backward passes not.
        is_whole: Whether no call is missing at the end.
        losses: What backward passes were started from, in training; several in manual optimisation.
        manual: Whether the user steps the optimizers by hand.
        batch: Values of the tensors in the batch, labelled by their path, such as "batch[0]".
        batch_size: Samples of the batch: first dimension of its tensors when they agree (scalars apart), else of the first one;
            None when unknown.
        is_short: Whether an earlier record of a training batch had more samples.
        loss_modules: Paths of the modules that are called a loss by their class or name.
        drew_random: Whether torch's random state moved on in the batch; looked at in evaluation only.
        strangers: Trainable parameters that were used and that the model does not know.
        objectives: The same losses as `losses`, and what their gradients reach.
        num_trainable: Parameters of the model that require a gradient.
        is_maximized: Whether all optimizers are told to go uphill.
        twins: Elements of the batch's tensors that equal others, which have one number for each sample; in training only.
    """

    at: At
    stage: Stage
    calls: tuple[Call, ...]
    is_whole: bool
    losses: tuple[Value, ...]
    manual: bool
    batch: tuple[Value, ...]
    batch_size: int | None
    loss_modules: frozenset[str]
    drew_random: bool = False
    strangers: tuple[Stranger, ...] = ()
    is_short: bool = False
    objectives: tuple[Objective, ...] = ()
    num_trainable: int = 0
    is_maximized: bool = False
    twins: tuple[Twin, ...] = ()

    @cached_property
    def trained(self) -> frozenset[int]:
        """Numbers of the calls that a trained loss depends on through a gradient."""
        return frozenset(call.number for loss in self.losses for call in ancestors(loss, with_grad=True))

    @cached_property
    def _makings(self) -> Makings:
        return Makings(self.calls, self.batch)

    def made_of(self, value: Value) -> MadeOf:
        """Return what a value of the record is made of in the end."""
        return self._makings.of(value)

    @cached_property
    def taken_by(self) -> Mapping[int, Sequence[Call]]:
        """The calls that take what a call has made, each once, in order, by its number."""
        table: dict[int, list[Call]] = defaultdict(list)
        for call in self.calls:
            for number in {value.call.number for value in call.inputs if value.call is not None}:
                table[number].append(call)
        return defaultdict(list, table)
