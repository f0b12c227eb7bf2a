"""Records of single batches, for the tests of the graph and of readers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.measures import MEASURES
from lightning_nnguard.probe.audit.objective import objective
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.tape import Tape
from lightning_nnguard.probe.calls import CallWatch


def record(
    model: nn.Module,
    step: Callable[..., Tensor],
    *batch: Tensor,
    stage: Any = "train",
    optimized: Collection[int] = (),
    **changes: Any,
) -> Record:
    """Return the record of one batch.

    Args:
        model: The model.
        step: Takes the tensors of the batch and returns the loss, or any output.
        batch: The batch.
        stage: Its loop.
        optimized: Ids of the parameters that an optimizer holds.
        changes: What else is known of the batch.
    """
    tape = Tape(model, batch, MEASURES)
    watch = CallWatch({}, lambda error: pytest.fail(repr(error)), tape.record)
    watch.switch(True)
    try:
        with torch.set_grad_enabled(stage == "train"):
            loss = step(*batch)
    finally:
        watch.switch(False)
    trainable = [each for each in model.parameters() if each.requires_grad]
    known: dict[str, Any] = {
        "at": At(step=0, epoch=0, batch_index=0), "stage": stage, "calls": tuple(tape.calls), "is_whole": True,
        "losses": (tape.value(loss),) if stage == "train" else (), "manual": False, "batch": tape.batch,
        "batch_size": batch[0].shape[0] if batch else None, "loss_modules": frozenset(),
        "strangers": tape.strangers.named(model, optimized),
        "objectives": (objective(loss, tape, {id(each) for each in trainable}),) if stage == "train" else (),
        "num_trainable": len(trainable),
    }  # fmt: skip
    return Record(**{**known, **changes})


class Net(nn.Module):
    """A module whose forward is a function of itself and the input.

    Args:
        forward: The forward.
        parts: Attributes: modules, parameters, or anything else.
    """

    def __init__(self, forward: Callable[..., Tensor], **parts: Any) -> None:
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(self, *inputs)
