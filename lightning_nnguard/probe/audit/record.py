"""What an audit of one batch has written down."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation import Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.call import Call, Value


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
        loss_modules: Paths of the modules that are called a loss by their class or name.
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
